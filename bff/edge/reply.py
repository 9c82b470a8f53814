"""What a view or command may answer instead of its plain model: `Reply` (status, headers, cookies) or `Redirect`.

Guarantees that no answer carries a header or cookie that belongs to the gateway, that no text of a client ends up as a
further header, and that a redirect leads to this site or to a declared one. Mistakes raise ValueError, which is
answered as a bug of the function: nothing of a wrong answer is sent.
"""

from __future__ import annotations

import re
import types
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin
from urllib.parse import quote, urlsplit

from pydantic import TypeAdapter

from ..calls import Call, DeclarationError, Part
from ..calls.codec import codec_of

T = TypeVar("T")

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110 section 5.5 without obs-text; no blank at either end.
_FIELD = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?|")
# RFC 6265 section 4.1.1.
_COOKIE_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_OWN_HEADERS = frozenset(
    {
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "etag",
        "keep-alive",
        "server",
        "server-timing",
        "set-cookie",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
        "www-authenticate",
        "x-correlation-id",
    }
)
_OWN_PREFIXES = ("access-control-", "bff-", "idempotency-", "proxy-", "ratelimit", "x-forwarded-")
OWN_COOKIES = ("__host-bff", "__secure-bff", "bff")
"""Names in lower case that cookies of the gateway begin with."""

MAX_HEADERS = 50
_MEDIA = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+(?:; ?charset=[a-zA-Z0-9-]+)?")


@dataclass(frozen=True, slots=True)
class SetCookie:
    """A cookie for this host alone.

    value     visible ASCII without quotes, commas, semicolons and backslashes (RFC 6265 section 4.1.1)
    max_age   seconds; 0 removes the cookie; None: until the browser is closed
    path      that it is sent for; default: everywhere on this host
    readable  scripts of the page may read it; default: no
    same_site which requests of other sites have it; default "Lax"

    It is always `Secure`. Raises ValueError, also for a name that begins with `__Host-bff`.
    """

    name: str
    value: str
    max_age: int | None = None
    path: str = "/"
    readable: bool = False
    same_site: Literal["Strict", "Lax"] = "Lax"

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.name) or self.name.lower().startswith(OWN_COOKIES):
            raise ValueError(f"{self.name!r} is no name for a cookie, or is one of the gateway")
        if not _COOKIE_VALUE.fullmatch(self.value) or len(self.name) + len(self.value) > 4096:
            raise ValueError(f"the value of the cookie {self.name} has other characters, or is too long")
        if not self.path.startswith("/") or not _FIELD.fullmatch(self.path) or ";" in self.path:
            raise ValueError(f"the path of the cookie {self.name} begins with / and has no semicolon")
        if self.same_site not in ("Strict", "Lax"):
            raise ValueError(f"the cookie {self.name}: same_site is Strict or Lax")

    @property
    def header(self) -> str:
        age = "" if self.max_age is None else f"; Max-Age={int(self.max_age)}"
        hidden = "" if self.readable else "; HttpOnly"
        return f"{self.name}={self.value}; Path={self.path}; Secure{hidden}; SameSite={self.same_site}{age}"


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """A value with a status, headers and cookies.

    status   200 (default) to 299, without 204 to 206
    headers  further headers; those of the gateway, such as Content-Type and Cache-Control, are refused. `Location` is
             an address as a `Redirect` has it
    cookies  an answer with cookies is never cached, and is stored for a replay without them

    Raises ValueError.
    """

    value: T
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: tuple[SetCookie, ...] = ()

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 299 or 204 <= self.status <= 206:
            raise ValueError(f"a reply has a status from 200 to 299 without 204 to 206, not {self.status}")
        if len(self.headers) > MAX_HEADERS:
            raise ValueError(f"a reply has at most {MAX_HEADERS} headers")
        for name, value in self.headers.items():
            plain = name.lower()
            if not _TOKEN.fullmatch(name) or plain in _OWN_HEADERS or plain.startswith(_OWN_PREFIXES):
                raise ValueError(f"{name!r} is no name for a header, or is one of the gateway")
            if not _FIELD.fullmatch(value):
                raise ValueError(
                    f"the header {name} has characters that headers cannot have (RFC 9110 section 5.5)"
                )
            if plain == "location":
                _check_address(value)


@dataclass(frozen=True, slots=True)
class Redirect:
    """An answer that sends the client elsewhere.

    location  a path of this site that begins with /, or an https address whose origin the route, its router or the
              gateway declares in `redirects`
    status    303 (default: go there with GET), 302, 307 or 308

    Raises ValueError; an address that is not declared is a bug of the function, too.
    """

    location: str
    status: Literal[302, 303, 307, 308] = 303
    cookies: tuple[SetCookie, ...] = ()

    def __post_init__(self) -> None:
        if self.status not in (302, 303, 307, 308):
            raise ValueError(f"a redirect has the status 302, 303, 307 or 308, not {self.status}")
        _check_address(self.location)


def _check_address(location: str) -> None:
    if not _FIELD.fullmatch(location) or " " in location or "\\" in location:
        raise ValueError("the location of a redirect or a reply is an encoded address")


@dataclass(frozen=True, slots=True)
class Download:
    """A file, streamed from a service's answer or from an async iterator.

    source    a Call (a read), whose answer is passed on as it comes, or an async iterator of bytes
    filename  under which browsers offer to save it
    type      media type; default ``application/octet-stream``
    inline    browsers may show it. It can never run scripts of this site

    Only a view may return one. It is not cached. Raises ValueError.
    """

    source: Call[Any] | AsyncIterator[bytes]
    filename: str
    type: str = "application/octet-stream"
    inline: bool = False

    def __post_init__(self) -> None:
        if not _MEDIA.fullmatch(self.type):
            raise ValueError(f"{self.type!r} is no media type")
        if not self.filename or not self.filename.isprintable() or len(self.filename) > 255:
            raise ValueError("a filename has 1 to 255 visible characters")
        if isinstance(self.source, Call) and self.source.is_write:
            raise ValueError(f"{self.source.name} writes, and a download only reads")

    @property
    def disposition(self) -> str:
        """The Content-Disposition (RFC 6266 section 4.3): the name in ASCII, and as it is."""
        plain = re.sub(r"[^\x20-\x7e]", "_", re.sub(r'["\\\\/%;]', "_", self.filename))
        kind = "inline" if self.inline else "attachment"
        return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(self.filename, safe='')}"


@dataclass(frozen=True, slots=True)
class Returns:
    """What a function returns. model: of the JSON body, None: without one; reply, redirect, download: it may return
    these."""

    model: Any
    reply: bool = False
    redirect: bool = False
    download: bool = False

    @property
    def is_empty(self) -> bool:
        """It answers without a body."""
        return self.model is None

    def is_plain(self, kind: type[Any]) -> bool:
        """Whether it is always a model of this kind."""
        model, others = self.model, self.reply or self.redirect or self.download
        return not others and isinstance(model, type) and issubclass(model, kind)


def returns_of(hint: Any, what: str) -> Returns:
    """Read the annotation of a function's result. Raises DeclarationError."""
    plain, reply, redirect, download = [], False, False, False
    for member in _members(hint):
        if member is Redirect:
            redirect = True
        elif member is Download:
            download = True
        elif get_origin(member) is Reply:
            reply = True
            plain.append(get_args(member)[0])
        elif member is Reply:
            raise DeclarationError(f"{what}: say what the reply has in it, as in Reply[Ticket]")
        else:
            plain.append(member)
    if not plain or plain == [type(None)]:
        return Returns(None, reply, redirect, download)
    model = hint if not (reply or redirect or download) else Union[tuple(plain)]  # noqa: UP007
    return Returns(model, reply, redirect, download)


def _members(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is Annotated:
        return (hint,)
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is ready to be sent. headers: names in lower case; cookies: values of Set-Cookie."""

    status: int
    headers: dict[str, str]
    cookies: tuple[str, ...]
    body: bytes


class Renderer:
    """Makes answers of what functions return. prefix: the path of the public address, in front of every path of this
    site."""

    def __init__(self, returns: Returns, redirects: tuple[str, ...], prefix: str, what: str) -> None:
        self._returns = returns
        self._redirects = frozenset(redirects)
        self._prefix = prefix
        self._what = what
        self._encode: Callable[[Any], bytes] | None = (
            None if returns.is_empty else codec_of(returns.model).encode
        )
        # A model's fields know the type of each of its parts. Outside a model a part gets it here.
        self._typed: Callable[[Any], Any] | None = (
            TypeAdapter(returns.model).validate_python if _has_parts(returns.model) else None
        )

    def render(self, result: Any) -> Answer:
        """Raises TypeError or ValueError for a result that was not declared."""
        if isinstance(result, Redirect):
            if not self._returns.redirect:
                raise TypeError(f"{self._what}: its annotation says nothing of a Redirect")
            headers = {"location": self._location(result.location)}
            return Answer(result.status, headers, _cookies(result.cookies), b"")
        if not isinstance(result, Reply):
            return self._value(result, 200, {}, ())
        if not self._returns.reply:
            raise TypeError(f"{self._what}: its annotation says nothing of a Reply")
        headers = {name.lower(): value for name, value in result.headers.items()}
        if "location" in headers:
            headers["location"] = self._location(headers["location"])
        return self._value(result.value, result.status, headers, _cookies(result.cookies))

    def _value(self, value: Any, status: int, headers: dict[str, str], cookies: tuple[str, ...]) -> Answer:
        if self._encode is None:
            if value is not None:
                raise TypeError(f"{self._what}: declared to return nothing, not {type(value).__name__}")
            return Answer(204 if status == 200 else status, headers, cookies, b"")
        if self._typed is not None:
            value = self._typed(value)
        return Answer(status, {"content-type": "application/json"} | headers, cookies, self._encode(value))

    def _location(self, location: str) -> str:
        if location.startswith("/") and not location.startswith("//"):
            return self._prefix + location
        parts = urlsplit(location)
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        if origin not in self._redirects:
            raise ValueError(f"{self._what}: declare redirects=({origin!r},) for a redirect to {origin}")
        return location


def _has_parts(hint: Any) -> bool:
    """Whether it has a `Part` outside a model, as `list[Part[Ticket]]` has."""
    return get_origin(hint) is Part or any(_has_parts(one) for one in get_args(hint))


def _cookies(cookies: tuple[SetCookie, ...]) -> tuple[str, ...]:
    return tuple(cookie.header for cookie in cookies)
