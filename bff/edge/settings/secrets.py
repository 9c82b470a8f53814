"""Secrets that are read from files, and followed when the files change: a vault's agent, a CSI driver or Kubernetes
writes them there.

Every setting that is a secret has a twin with `_file` at the end of its name, which names the file instead. For a list
of secrets the twin names one file or a list of files, each with one secret. The secret is the content of the file,
without one line end at its end; everything else belongs to it. A file is UTF-8, of at most 65,536 bytes. New contents
are in use all together, and only when the settings with them are as valid as at the start; until then the last ones
stay.
"""

from __future__ import annotations

import copy
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, SecretStr

from ...calls import DeclarationError
from ...network import FileWatcher, Fingerprint, fingerprint

SUFFIX = "_file"
MAX_BYTES = 65_536
LOOK = 1.0
"""Seconds between two checks of the files."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
Place = tuple[object, ...]


class FileSecret(SecretStr):
    """A secret whose value is the last usable content of a file. It is the one thing in the settings that changes."""

    def __init__(self, value: str, path: Path) -> None:
        super().__init__(value)
        self.path = path

    def replace(self, value: str) -> None:
        self._secret_value = value

    def __deepcopy__(self, memo: object) -> FileSecret:
        return self


class SecretFiles:
    """The files of all secrets. tree: the settings with a `FileSecret` at the place of each; validate: raises
    ValueError for settings that are not valid.

    watch  follows the files from its start to its close
    """

    def __init__(
        self,
        tree: dict[str, Any],
        secrets: Sequence[tuple[Place, FileSecret]],
        validate: Callable[[dict[str, Any]], object],
        state: Fingerprint,
    ) -> None:
        self._tree = tree
        self._secrets = tuple(secrets)
        self._validate = validate
        paths = [secret.path for _, secret in secrets]
        self.watch = FileWatcher("secrets", paths, LOOK, self._read, state)

    def _read(self) -> None:
        contents = [content(secret.path) for _, secret in self._secrets]
        tree = copy.deepcopy(self._tree)
        for (place, secret), value in zip(self._secrets, contents, strict=True):
            _put(tree, place, FileSecret(value, secret.path))
        try:
            self._validate(tree)
        except DeclarationError as error:
            raise ValueError(str(error)) from None
        for (_, secret), value in zip(self._secrets, contents, strict=True):
            secret.replace(value)


def content(path: Path) -> str:
    """The secret in a file. Raises ValueError with one sentence that says the cure and holds nothing of the content."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"{path} is not a file; name the file that holds the secret")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; name a file that this process can read") from None
    if len(raw) > MAX_BYTES:
        raise ValueError(
            f"{path} has more than {MAX_BYTES:,} bytes, so it holds something else than a secret"
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not written in UTF-8") from None
    if text.startswith("\ufeff"):
        raise ValueError(f"{path} begins with a byte order mark; save it as UTF-8 without one")
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"{path} is empty; write the secret into it")
    if _CONTROL.search(text):
        raise ValueError(
            f"{path} holds a line end or another control character before its end; it must be the secret alone"
        )
    return text


def read_files(
    model: type[BaseModel], tree: dict[str, Any], name: Callable[[Place], str], mistakes: list[str]
) -> tuple[list[tuple[Place, FileSecret]], Fingerprint, tuple[Place, ...]]:
    """Put the content of each file into the tree, in place of its name. name: the variable of a place. Returns the
    secrets with their places, the state of the files just before they were read, and the places whose file cannot be
    used: why is added to the mistakes."""
    named: list[tuple[Place, Path]] = []
    for place, node, key, many in list(_file_names(model, tree, ())):
        given, leaf = node.pop(key), key.removesuffix(SUFFIX)
        paths = given if many and isinstance(given, list) else [given]
        if leaf in node:
            mistakes.append(f"{name((*place, key))}: {name((*place, leaf))} is set, too; set one of the two")
        elif not paths or not all(isinstance(path, str) and path for path in paths):
            or_list = ", or a JSON list of paths" if many else ""
            mistakes.append(f"{name((*place, key))}: must be the path of a file{or_list}")
        else:
            node[leaf] = [None] * len(paths) if many else None
            places = [(*place, leaf, number) for number in range(len(paths))] if many else [(*place, leaf)]
            named += zip(places, map(Path, paths), strict=True)
    state = fingerprint([path for _, path in named])
    found: list[tuple[Place, FileSecret]] = []
    broken: tuple[Place, ...] = ()
    for where, path in named:
        try:
            value = content(path)
        except ValueError as error:
            setting = where[:-1] if isinstance(where[-1], int) else where
            mistakes.append(f"{name((*setting[:-1], f'{setting[-1]}{SUFFIX}'))}: {error}")
            # It must not count as missing, too.
            value, broken = "", (*broken, where)
        secret = FileSecret(value, path)
        _put(tree, where, secret)
        found.append((where, secret))
    return found, state, broken


def _put(tree: dict[str, Any], place: Place, secret: FileSecret) -> None:
    node: Any = tree
    for part in place[:-1]:
        node = node[part]
    node[place[-1]] = secret


def _file_names(
    annotation: Any, node: Any, place: Place
) -> Iterator[tuple[Place, dict[str, Any], str, bool]]:
    """The keys in the tree that name files: the place of their table, the table, the key, and whether it stands for a
    list of secrets."""
    kind = plain(annotation)
    if isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(node, dict):
        for name, field in kind.model_fields.items():
            many = _is_list_of_secrets(field.annotation)
            if (many or plain(field.annotation) is SecretStr) and name + SUFFIX in node:
                yield place, node, name + SUFFIX, many
            elif name in node:
                yield from _file_names(field.annotation, node[name], (*place, name))
    elif get_origin(kind) is dict and isinstance(node, dict):
        inner = get_args(kind)[1]
        for name in list(node):
            if plain(inner) is not SecretStr:
                yield from _file_names(inner, node[name], (*place, name))
            elif name.endswith(SUFFIX):
                yield place, node, name, False
    elif get_origin(kind) is tuple and isinstance(node, list):
        for number, one in enumerate(node):
            yield from _file_names(get_args(kind)[0], one, (*place, number))


def is_secret(model: Any, path: Sequence[str]) -> bool:
    """Whether the setting at this path is a secret."""
    kind = plain(model)
    if not path:
        return kind is SecretStr
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(path[0])
        return field is not None and is_secret(field.annotation, path[1:])
    return get_origin(kind) is dict and is_secret(get_args(kind)[1], path[1:])


def _is_list_of_secrets(annotation: Any) -> bool:
    kind = plain(annotation)
    return get_origin(kind) is tuple and plain(get_args(kind)[0]) is SecretStr


def plain(annotation: Any) -> Any:
    """The type without Annotated and None."""
    if get_origin(annotation) is Annotated:
        return plain(get_args(annotation)[0])
    inside = [one for one in get_args(annotation) if one is not type(None)]
    if len(inside) == 1 and type(None) in get_args(annotation):
        return plain(inside[0])
    return annotation
