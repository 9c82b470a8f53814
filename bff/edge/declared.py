"""What a gateway declares, as frozen records: views, commands, sagas, values, pages.

Every mistake in a declaration is found here or in `bind`, by name, when the module is imported.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any, Protocol

from ..calls import Call, DeclarationError, SagaStatus
from .access.authorization import NO_REQUIREMENTS, Requirements
from .bind import Binding
from .rate_limits import Limit

Function = Callable[..., Awaitable[Any]]
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+|\{[a-z_][a-z0-9_]*\}")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
EVENTS = "/bff/events/{source}"
CHANGES = "/bff/changes/{source}"
RESERVED = ("/bff", "/livez", "/readyz", "/openapi.json", "/asyncapi.json", "/docs", "/metrics")


@dataclass(frozen=True, slots=True)
class SagaType:
    """A kind of saga: its name, the model of its status, and the call that lists an owner's sagas."""

    name: str
    model: type[SagaStatus]
    restore: Callable[[str], Call[Any]] | None = None
    origin: str = ""

    def listed(self, answer: Any) -> list[SagaStatus]:
        """The sagas in `restore`'s answer: a list, or a model with exactly one list field. Raises TypeError."""
        if isinstance(answer, list):
            return [saga for saga in answer if isinstance(saga, SagaStatus)]
        fields = [getattr(answer, name) for name in type(answer).model_fields]
        lists = [field for field in fields if isinstance(field, list)]
        if len(lists) != 1:
            raise TypeError(
                f"saga {self.name}: restore must answer a list of sagas, or a model with one list of them"
            )
        return [saga for saga in lists[0] if isinstance(saga, SagaStatus)]


@dataclass(frozen=True, slots=True)
class ValueType:
    """A live value: a template such as ``stock/{sku}``, the model of its data, and a call that fetches one.

    The template of a value that is not public has `{owner}` in it: a principal may ask only for the name that has their
    `Principal.pseudonym` there.
    """

    template: str
    model: type[Any]
    public: bool
    load: Callable[..., Call[Any]] | None = None
    origin: str = ""

    @property
    def kind(self) -> str:
        """The first segment: what events call it (`<domain>.<kind>.value`)."""
        return self.template.partition("/")[0]


@dataclass(frozen=True, slots=True)
class View:
    """A screen: GET path → one JSON answer made of upstream parts. network: the only network it is
    served to; tags: of the
    OpenAPI document; origin: `module:line` of its function."""

    path: str
    function: Function
    binding: Binding
    public: bool
    deadline: float
    limit: str | Limit | None
    requirements: Requirements = NO_REQUIREMENTS
    network: str | None = None
    tags: tuple[str, ...] = ()
    origin: str = ""

    @property
    def name(self) -> str:
        return self.function.__name__


@dataclass(frozen=True, slots=True)
class Command:
    """A guarded write: POST path with an Idempotency-Key. safe: its upstreams honour idempotency keys, so that an
    unknown outcome may be tried again under the same key. invalidates: tags of what it changes, for its caller.
    network, tags, origin: as a view has them."""

    path: str
    function: Function
    binding: Binding
    deadline: float
    limit: str | Limit | None
    starts: SagaType | None
    safe: bool
    invalidates: tuple[str, ...] = ()
    requirements: Requirements = NO_REQUIREMENTS
    network: str | None = None
    tags: tuple[str, ...] = ()
    origin: str = ""

    @property
    def name(self) -> str:
        return self.function.__name__


@dataclass(frozen=True, slots=True)
class Page:
    """Static files: `paths` answer with `file`, `folders` map a URL prefix to a folder of assets, `fallback` are the
    prefixes below which every further navigation answers with `file`. policy, permissions: the headers
    Content-Security-Policy and Permissions-Policy of all of it."""

    file: Path
    paths: tuple[str, ...]
    folders: Mapping[str, Path]
    fallback: tuple[str, ...]
    policy: str
    permissions: str

    @property
    def headers(self) -> dict[str, str]:
        return {"content-security-policy": self.policy, "permissions-policy": self.permissions}


class Declarations(Protocol):
    """The declarations of a gateway. needs: for what is the gateway's own and private;
    version: the gateway's own."""

    name: str
    version: str
    requirements: Requirements
    views: dict[str, View]
    commands: dict[str, Command]
    sagas: dict[str, SagaType]
    values: dict[str, ValueType]
    page: Page | None


def check_path(path: str, what: str) -> None:
    """A canonical path template outside the gateway's own addresses."""
    if path == "/":
        return
    if not path.startswith("/") or path.endswith("/"):
        raise DeclarationError(f"{what}: a path begins with / and does not end with it, this is {path!r}")
    if any(path == taken or path.startswith(taken + "/") for taken in RESERVED):
        raise DeclarationError(f"{what}: {path} is one of the gateway's own addresses")
    for segment in path[1:].split("/"):
        if not _SEGMENT.fullmatch(segment):
            raise DeclarationError(f"{what}: {segment!r} in {path} is neither plain text nor {{a_parameter}}")


def check_site(page: Page, views: Iterable[str]) -> None:
    """Raises DeclarationError for an address that the site would answer twice."""
    for path in (*page.paths, *page.folders, *page.fallback):
        check_path(path, f"site: {path}")
    known: dict[str, str] = {}
    for path in page.paths:
        if (other := known.setdefault(shape(path), path)) is not path:
            raise DeclarationError(f"site: {path} and {other} are one address")
    for prefix in page.folders:
        if prefix == "/" or "{" in prefix:
            raise DeclarationError(
                f"site: a folder stands below a prefix of its own such as /assets, not at {prefix}"
            )
    for view in views:
        check_beside(view, f"view {view}", page)


def check_beside(path: str, what: str, page: Page | None) -> None:
    """Raises DeclarationError for a view whose address the site serves already."""
    if page is None:
        return
    for other in page.paths:
        if shape(other) == shape(path):
            raise DeclarationError(
                f"{what}: site() answers {other} already; give the view another path, such as /api{path}"
            )
    for prefix in page.folders:
        if path == prefix or path.startswith(prefix + "/"):
            raise DeclarationError(
                f"{what}: site() serves the folder at {prefix} already; give one of them another path"
            )


def check_tags(tags: tuple[str, ...], path: str, what: str) -> None:
    """Tags whose parameters are the path's own."""
    segments = set(path.split("/"))
    for tag in tags:
        try:
            named = [name for _, name, _, _ in Formatter().parse(tag) if name is not None]
        except ValueError as error:
            raise DeclarationError(f"{what}: invalidates={tag!r}: {error}") from None
        if not tag or any(f"{{{name}}}" not in segments for name in named):
            raise DeclarationError(f"{what}: invalidates={tag!r} needs text, and no parameter but its path's")


def check_name(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise DeclarationError(f"{what}: {name!r} must be lower-case letters, digits and dashes")


def check_deadline(deadline: float | None, what: str) -> None:
    if deadline is not None and not 0 < deadline <= 60:
        raise DeclarationError(f"{what}: deadline is seconds above 0 and up to 60, not {deadline}")


def check_prefix(prefix: str, what: str) -> None:
    """ "" or a path that can stand in front of others."""
    if not isinstance(prefix, str) or prefix == "/":
        raise DeclarationError(f'{what}: a prefix is "" or begins with / and does not end with it')
    if prefix:
        check_path(prefix, what)


def shape(path: str) -> str:
    """The template without the names of its parameters: templates of one shape are one address."""
    return re.sub(r"\{[^}]*\}", "{}", path)
