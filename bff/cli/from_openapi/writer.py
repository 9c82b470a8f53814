"""Writes the file of an upstream: its models, its class, and as comments the settings that it needs.

The file is written once and belongs to the team from then on; a file that is there is never changed. It is formatted
with ruff, by the rules of the project that it is written into, so the same description and the same rules give the same
file.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...calls import DeclarationError
from . import models
from . import operations as methods
from .document import Document, Node, read
from .naming import IMPORTED, METHODS, capitalised, comment, docstring, paragraphs, plain
from .schemas import Schemas

_CLASS = re.compile(r"[A-Z][A-Za-z0-9]*")
_TIMEOUT = 60
"""Seconds that formatting may take."""
_STANDARD = {
    "datetime": "import datetime",
    "Decimal": "from decimal import Decimal",
    "UUID": "from uuid import UUID",
}
_TYPING = ("Annotated", "Any", "Literal")
_PYDANTIC = ("BaseModel", "ConfigDict", "Field", "RootModel")


@dataclass(frozen=True, slots=True)
class Choices:
    """What the caller says about the file; an empty text stands for what the description says.

    name     of the class, such as Catalog; in lower case it is the upstream's name in settings
    team     that owns the service
    contact  how to reach the team
    tags     only operations with one of these tags; empty: all
    output   the file, None: the upstream's name in the current folder
    """

    name: str = ""
    team: str = ""
    contact: str = ""
    tags: frozenset[str] = frozenset()
    output: Path | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A written file. setting: the line of the address; left_out: one sentence for each operation without a method."""

    file: Path
    setting: str
    methods: int
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a file before it is formatted."""

    name: str
    text: str
    setting: str
    methods: int
    left_out: tuple[str, ...]


def write(description: Path, choices: Choices) -> Written:
    """Write the file. Raises a DeclarationError that says what to do."""
    made = source(read(description), choices)
    output = choices.output or Path(f"{made.name.lower()}.py")
    if output.exists() or output.is_symlink():
        raise DeclarationError(f"{output} exists and is not changed; choose another --output, or remove it")
    text = _formatted(made.text, output)
    try:
        # Created, never replaced, also where it appeared in between.
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise DeclarationError(f"{output} cannot be written: {error.strerror or error}") from None
    return Written(output, made.setting, made.methods, made.left_out)


def source(document: Document, choices: Choices) -> Source:
    """The text of the file. Raises DeclarationError."""
    info = document.mapping(document.root.get("info"), "#/info")
    name = _class_name(choices.name, info)
    team, contact = _owner(document, choices, info)
    schemas = Schemas(document, (name,))
    operations = methods.Operations(document, schemas, choices.tags)
    if not operations.found:
        which = f" with a tag of {', '.join(sorted(choices.tags))}" if choices.tags else ""
        raise DeclarationError(f"{document.file} has no operations{which} that a call can carry out")
    url = _address(document)
    body = [
        *models.source(schemas),
        "",
        *_class(document, name, team, contact, url, operations.left_out),
        *methods.source(operations, schemas),
        "",
    ]
    return Source(
        name,
        _module(document, info, body),
        _setting(name, "URL", url),
        len(operations.found),
        tuple(operations.left_out),
    )


def _class_name(given: str, info: Node) -> str:
    title = plain(info.get("title"), 200)
    name = given or "".join(re.findall(r"[A-Za-z0-9]+", capitalised(title, "")))
    if not _CLASS.fullmatch(name) or name in IMPORTED or name in METHODS or name == "None":
        which = f"{name!r} cannot name" if given else f"the title {title!r} gives no name for"
        raise DeclarationError(
            f"{which} the upstream's class; choose one with --name, with a capital letter first, such as Catalog"
        )
    return name


def _owner(document: Document, choices: Choices, info: Node) -> tuple[str, str]:
    known = document.mapping(info.get("contact"), "#/info/contact")
    team = choices.team or plain(known.get("name"), 100)
    contact = choices.contact or plain(known.get("email"), 200) or plain(known.get("url"), 200)
    missing = [option for option, value in (("--team", team), ("--contact", contact)) if not value]
    if missing:
        raise DeclarationError(
            f"{document.file} does not say who owns the service (info.contact), and every error names the owner: give "
            f"{' and '.join(missing)}, for example --team Catalog --contact '#catalog'"
        )
    return team, contact


def _address(document: Document) -> str:
    """The base address of the first server, with the defaults of its variables; its host is left open where it has
    none."""
    servers = document.items(document.root.get("servers"), "#/servers")
    server = document.mapping(servers[0] if servers else None, "#/servers/0")
    variables = document.mapping(server.get("variables"), "#/servers/0/variables")
    url = plain(server.get("url"), 500)
    for name, variable in variables.items():
        default = document.mapping(variable, f"#/servers/0/variables/{name}").get("default")
        url = url.replace(f"{{{name}}}", plain(default, 200))
    if re.match(r"https?://[^/]", url):
        return url.rstrip("/")
    return f"http://…/{url.strip('/')}".rstrip("/")


def _setting(name: str, key: str, value: str) -> str:
    return f"BFF_UPSTREAMS__{name.upper()}__{key}={value}"


# ---- source ---------------------------------------------------------------------------------------------------------


def _module(document: Document, info: Node, body: list[str]) -> str:
    title = plain(info.get("title"), 100) or document.file
    version = plain(info.get("version"), 40)
    notes = [
        f"The service {title}{f', version {version}' if version else ''}.",
        f"Written once by `bff new upstream {plain(document.file, 100)}`; change it as you like.",
    ]
    text = "\n".join(body)
    used = {node.id for node in ast.walk(_parsed(text)) if isinstance(node, ast.Name)}
    return "\n".join([*docstring(notes, ""), "", *_imports(used), "", "", text])


def _imports(used: set[str]) -> Iterator[str]:
    yield "from __future__ import annotations"
    yield ""
    for name, line in _STANDARD.items():
        if name in used:
            yield line
    typing = [name for name in _TYPING if name in used]
    if typing:
        yield f"from typing import {', '.join(typing)}"
    yield ""
    others = IMPORTED - {*_STANDARD, *_TYPING, *_PYDANTIC}
    yield f"from bff import {', '.join(sorted(others & used))}"
    pydantic = [name for name in _PYDANTIC if name in used]
    if pydantic:
        yield f"from pydantic import {', '.join(pydantic)}"


def _class(
    document: Document, name: str, team: str, contact: str, url: str, left_out: list[str]
) -> Iterator[str]:
    yield from comment("The address is a setting:")
    yield f"#     {_setting(name, 'URL', url)}"
    for one in _credentials(document, name):
        yield from comment(one)
    if left_out:
        yield from comment("No methods were written for")
        for each in left_out:
            yield from comment(f"- {each}")
    docs = plain(document.mapping(document.root.get("externalDocs"), "#/externalDocs").get("url"), 300)
    docs = f", docs={docs!r}" if docs.startswith(("https://", "http://")) else ""
    yield f"class {name}(Upstream, team={team!r}, contact={contact!r}{docs}):"
    info = document.mapping(document.root.get("info"), "#/info")
    yield from docstring(paragraphs(info.get("description"))[:3], "    ")


def _credentials(document: Document, name: str) -> Iterator[str]:
    """One sentence for each security scheme: which setting serves it."""
    components = document.mapping(document.root.get("components"), "#/components")
    where = "#/components/securitySchemes"
    for scheme, found in document.mapping(components.get("securitySchemes"), where).items():
        node = document.resolved(found, f"{where}/{scheme}")
        yield f"Security scheme {plain(scheme, 80)}: {_credential(node, name)}"


def _credential(node: Node, name: str) -> str:
    kind, scheme = node.get("type"), str(node.get("scheme", "")).lower()
    wire = plain(node.get("name"), 80)
    none = _setting(name, "IDENTITY", "none")
    if kind == "http" and scheme == "basic":
        return f"basic authentication. Set {_setting(name, 'BASIC', 'user:password')} and {none}."
    if kind == "apiKey" and node.get("in") == "header":
        also = f" and {none}" if wire.lower() == "authorization" else ""
        header = _setting(name, "HEADERS", f'\'{{"{wire}": "…"}}\'')
        return f"an API key in the header {wire}. Set {header}{also}."
    if kind == "apiKey":
        location = plain(node.get("in"), 20)
        return f"an API key in a {location}, {wire}. A gateway sends none; ask the service for a header."
    if kind == "http" and scheme not in ("", "bearer"):
        return (
            f"HTTP authentication {plain(scheme, 40)}. A gateway sends none; ask the service for another one."
        )
    if kind == "mutualTLS":
        return f"a client certificate. Set {_setting(name, 'TLS__CERT', '…')} and {_setting(name, 'TLS__KEY', '…')}."
    token = _setting(name, "HEADERS", '\'{"Authorization": "Bearer …"}\'')
    person = _setting(name, "IDENTITY", "user")
    return (
        f"a bearer token. The person's own is sent ({person}, the default). For a token of the gateway set "
        f"{token} and {none}."
    )


def _parsed(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise DeclarationError(f"the description gives no valid Python: {error}; please report it") from None


def _formatted(text: str, output: Path) -> str:
    """The text as ruff formats it in the project around `output`."""
    for command in (["check", "--fix-only", "--select", "I"], ["format"]):
        text = _ruff([*command, "--quiet", "--stdin-filename", str(output), "-"], text)
    _parsed(text)
    return text


def _ruff(arguments: list[str], text: str) -> str:
    command = [sys.executable, "-m", "ruff", *arguments]
    env: dict[str, Any] = {**os.environ, "RUFF_NO_CACHE": "true"}
    try:
        ran = subprocess.run(  # noqa: S603  # our own command
            command, input=text.encode(), capture_output=True, timeout=_TIMEOUT, check=False, env=env
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeclarationError(f"ruff, which formats the file, does not run: {error}") from None
    if ran.returncode:
        said = ran.stderr.decode(errors="replace").strip()
        if "No module named ruff" in said:
            raise DeclarationError('ruff formats the file: run pip install "bff-gateway[dev]"')
        raise DeclarationError(f"ruff, which formats the file, says: {plain(said, 500)}")
    return ran.stdout.decode()
