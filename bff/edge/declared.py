"""What a gateway declares, as frozen records: routes (views and commands), sagas, values, the site.

Every mistake in a declaration is found here or in `bind`, by name, when the module is imported.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from string import Formatter
from typing import Any, Literal, Protocol, get_args

from ..calls import Call, DeclarationError, SagaStatus, Upstream
from ..calls.template import template_of
from .access.authorization import NO_REQUIREMENTS, Requirements, check_step_up
from .bind import Binding, binding
from .rate_limits import Limit, quotas_of

Function = Callable[..., Awaitable[Any]]
CommandMethod = Literal["POST", "PUT", "PATCH", "DELETE"]
COMMAND_METHODS: tuple[str, ...] = get_args(CommandMethod)
BODY_METHODS = ("POST", "PUT", "PATCH")
"""The body of a DELETE has no meaning (RFC 9110 section 9.3.5), and proxies drop it."""
UPLOAD = 10_000_000
"""Bytes that a forwarded request's body may have where no forward sets another bound."""
DEADLINE = 1.5
"""Seconds that a request may take in all where no route, router or gateway sets another limit."""
_SEVERAL = re.compile(r"\{[a-z_][a-z0-9_]*:path\}")
_PARAMETER = re.compile(r"\{([^}]*)\}")
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+|\{[a-z_][a-z0-9_]*\}")
_ORIGIN = re.compile(r"https://[a-z0-9.-]+(?::[0-9]{1,5})?|http://(?:localhost|127\.0\.0\.1)(?::[0-9]{1,5})?")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
EVENTS = "/bff/events/{source}"
CHANGES = "/bff/changes/{source}"
BROWSER = "/bff/browser"
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
        values = [answer] if isinstance(answer, list) else vars(answer).values()
        lists = [value for value in values if isinstance(value, list)]
        if len(lists) != 1:
            raise TypeError(
                f"saga {self.name}: restore must answer a list of sagas, or a model with one list of them"
            )
        return [saga for saga in lists[0] if isinstance(saga, SagaStatus)]


@dataclass(frozen=True, slots=True)
class ValueType:
    """A live value: a template such as ``stock/{sku}``, the model of its data, and a call that fetches one.

    The template of a value that is not public contains `{owner}`: a principal may ask only for the name with their
    `Principal.pseudonym` in its place.
    """

    template: str
    model: type[Any]
    public: bool
    load: Callable[..., Call[Any]] | None = None
    origin: str = ""

    @property
    def kind(self) -> str:
        """The first segment, which names the value in event types (`<domain>.<kind>.value`)."""
        return self.template.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a route, a router or a gateway (see `Router`); None: as in the router or gateway around it."""

    scopes: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None
    deadline: float | None = None
    limit: str | Limit | None = None
    network: str | None = None
    redirects: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    fresh: float | None = None
    acr: tuple[str, ...] | None = None

    def check(self, what: str, *, public: bool = False) -> None:
        """Raises DeclarationError for options that are not valid. public: of a route without sign-in."""
        NO_REQUIREMENTS.override(self.scopes, self.roles, public, what)
        check_step_up(self.fresh, self.acr, public, what)
        if self.deadline is not None and not 0 < self.deadline <= 60:
            raise DeclarationError(f"{what}: deadline is seconds above 0 and up to 60, not {self.deadline}")
        if self.limit is not None:
            quotas_of(what, self.limit)
        if isinstance(self.redirects, str) or not all(map(_is_origin, self.redirects or ())):
            raise DeclarationError(
                f"{what}: redirects is a tuple of https origins, as in redirects=('https://pay.example.org',)"
            )
        if isinstance(self.tags, str) or not all(isinstance(tag, str) and tag for tag in self.tags or ()):
            raise DeclarationError(f"{what}: tags is a tuple of texts, as in tags=({str(self.tags)!r},)")

    def within(self, outer: Options) -> Options:
        """These options, with those of `outer` where they are None."""
        pairs = ((getattr(self, name), getattr(outer, name)) for name in self.__slots__)
        return Options(*(inherited if option is None else option for option, inherited in pairs))

    @property
    def requirements(self) -> Requirements:
        return Requirements(
            frozenset(self.scopes or ()),
            frozenset(self.roles or ()),
            None if self.fresh is None or self.fresh == inf else float(self.fresh),
            tuple(self.acr or ()),
        )


@dataclass(frozen=True, slots=True)
class Route:
    """A view (GET) or a command (POST, PUT, PATCH or DELETE).

    path         with the prefixes of its routers
    options      those declared for it, and for the others those of its routers and its gateway
    origin       `module:line` of its function
    public       a view that needs no sign-in
    starts       the saga that a command starts or advances
    safe         the upstreams of a command honour idempotency keys: an unknown outcome may be tried again under the key
    invalidates  tags of what a command changes, for its caller
    keep         seconds for which a command's outcome is stored; None: as the settings say
    """

    method: str
    path: str
    function: Function
    binding: Binding
    options: Options
    origin: str
    public: bool = False
    starts: SagaType | None = None
    safe: bool = True
    invalidates: tuple[str, ...] = ()
    keep: float | None = None

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def kind(self) -> Literal["view", "command"]:
        return "view" if self.method == "GET" else "command"

    @property
    def needs_key(self) -> bool:
        """Whether a command must come with an Idempotency-Key. PUT and DELETE may be repeated in any case (RFC 9110
        section 9.2.2), so their clients need not send one."""
        return self.method in ("POST", "PATCH")

    @property
    def what(self) -> str:
        """Names the route in messages."""
        return described(self.method, self.path)

    @property
    def deadline(self) -> float:
        """Seconds that a request may take in all."""
        return self.options.deadline or DEADLINE

    @property
    def requirements(self) -> Requirements:
        """The scopes and roles that are required; none of a public route."""
        return NO_REQUIREMENTS if self.public else self.options.requirements

    def inside(self, prefix: str, outer: Options) -> Route:
        """This route in a router with this prefix and these options. Raises DeclarationError where the parameters of
        the prefix do not fit the function."""
        moved = replace(self, path=prefix + self.path, options=self.options.within(outer))
        if "{" not in prefix:
            return moved
        return replace(
            moved,
            binding=binding(self.function, moved.path, moved.what, body=self.method in BODY_METHODS),
        )


@dataclass(frozen=True, slots=True)
class Forward:
    """Requests that are passed to a service as a whole, and their answers to the client.

    path            with the prefixes of its routers; a last `{name:path}` takes several segments
    target          the path at the service, with the same parameters
    upload          bytes of a request's body at most
    headers         further request headers that are passed on, names in lower case
    answer_headers  further headers of the answer that are passed on, names in lower case
    inline          further media types that browsers may show
    """

    path: str
    upstream: Upstream
    target: str
    methods: tuple[str, ...]
    options: Options
    origin: str
    public: bool = False
    upload: int = UPLOAD
    headers: tuple[str, ...] = ()
    answer_headers: tuple[str, ...] = ()
    inline: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        return f"forward {self.path}"

    @property
    def name(self) -> str:
        """Names its calls in logs, timings and breakers."""
        return f"{type(self.upstream).__name__}.forward {self.path}"

    @property
    def deadline(self) -> float:
        """Seconds from the end of a request until its answer begins."""
        return self.options.deadline or DEADLINE

    @property
    def requirements(self) -> Requirements:
        return NO_REQUIREMENTS if self.public else self.options.requirements

    def inside(self, prefix: str, outer: Options) -> Forward:
        """This forward in a router with this prefix and these options. Raises DeclarationError where the parameters of
        the prefix are not those of the target."""
        moved = replace(self, path=prefix + self.path, options=self.options.within(outer))
        moved.check()
        return moved

    def check(self) -> None:
        """Raises DeclarationError where its two paths do not have the same parameters, or the methods are none."""
        if not self.methods or not set(self.methods) <= {"GET", *COMMAND_METHODS}:
            raise DeclarationError(f"{self.what}: methods are some of GET, {', '.join(COMMAND_METHODS)}")
        here = {name.partition(":")[0] for name in _PARAMETER.findall(self.path)}
        there = {name for name, _ in template_of(self.target).parameters}
        if here != there:
            raise DeclarationError(
                f"{self.what}: {self.target} must have the same parameters: {', '.join(sorted(here ^ there))}"
            )


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
    """The declarations of a gateway. requirements: of its builtin endpoints that need a sign-in."""

    name: str
    version: str
    routes: list[Route]
    forwards: list[Forward]
    sagas: dict[str, SagaType]
    values: dict[str, ValueType]
    page: Page | None

    @property
    def views(self) -> list[Route]: ...
    @property
    def commands(self) -> list[Route]: ...
    @property
    def requirements(self) -> Requirements: ...


def check_path(path: str, what: str, *, several: bool = False) -> None:
    """Raises DeclarationError for a path that is no canonical template, or is reserved for builtin endpoints. several:
    its last segment may be a parameter for several segments."""
    if path == "/":
        return
    if not path.startswith("/") or path.endswith("/"):
        raise DeclarationError(f"{what}: a path begins with / and does not end with it, this is {path!r}")
    if any(path == taken or path.startswith(taken + "/") for taken in RESERVED):
        raise DeclarationError(f"{what}: {path} is one of the gateway's own addresses")
    segments = path[1:].split("/")
    if several and _SEVERAL.fullmatch(segments[-1]):
        segments.pop()
    for segment in segments:
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
            raise DeclarationError(f"site: a folder needs a separate prefix such as /assets, not {prefix}")
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
    """Raises DeclarationError for tags with other parameters than the path has."""
    segments = set(path.split("/"))
    for tag in tags:
        try:
            named = [name for _, name, _, _ in Formatter().parse(tag) if name is not None]
        except ValueError as error:
            raise DeclarationError(f"{what}: invalidates={tag!r}: {error}") from None
        if not tag or any(f"{{{name}}}" not in segments for name in named):
            raise DeclarationError(f"{what}: invalidates={tag!r} needs text, and no parameter but its path's")


def _is_origin(text: str) -> bool:
    """Whether a text is a scheme and a host, in lower case; http only for this machine."""
    return isinstance(text, str) and _ORIGIN.fullmatch(text) is not None


def check_name(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise DeclarationError(f"{what}: {name!r} must be lower-case letters, digits and dashes")


def shape(path: str) -> str:
    """The template without the names of its parameters: templates of one shape are one address."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def described(method: str, path: str) -> str:
    """`view /path`, `command /path` or, for another method than POST, `command PUT /path`, for messages."""
    if method == "GET":
        return f"view {path}"
    return f"command {path}" if method == "POST" else f"command {method} {path}"
