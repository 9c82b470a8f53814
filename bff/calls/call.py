"""A call to an upstream as a value: what is sent and what is expected back, without how it is sent.

A Call is frozen and comparable. `await call` runs it in the current request's context; a second await runs it again.
Its options are methods that return a changed copy.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar, cast

from msgspec import Struct, structs

from .context import current_context
from .errors import DeclarationError, Refused
from .formats import Format
from .outcomes import NEVER_PASSED, OUTCOMES, OutcomeTable
from .owner import Owner

T = TypeVar("T")
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

MAX_LIFETIME = 86_400.0
"""Seconds: no answer is cached for longer than a day."""
MAX_TAGS = 16
_TAG_LENGTH = 200

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
# RFC 9110 section 5.5 without obs-text; no blank at either end.
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?|")
# They belong to the connection, or say who asks, or are made for each request.
_OWN_HEADERS = frozenset(
    {
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "idempotency-key",
        "keep-alive",
        "proxy-authorization",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-correlation-id",
    }
)
_OWN_PREFIXES = ("bff-", "if-", "sec-", "x-forwarded-")


def is_own_header(name: str) -> bool:
    """Whether the gateway sets this request header itself. name: in lower case."""
    return name in _OWN_HEADERS or name.startswith(_OWN_PREFIXES)


def is_header_value(text: str) -> bool:
    """Whether a header can have this value: visible ASCII, blanks inside only."""
    return _VALUE.fullmatch(text) is not None


def tag_of(text: str) -> str:
    """The tag as it is stored and compared. Any text is allowed, because a part of it often comes from a client; a text
    of more than 200 characters is replaced by its SHA-256 hash."""
    if len(text) <= _TAG_LENGTH:
        return text
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A service's answer with some of its headers. headers: those that `Call.with_headers` names and the service sent;
    names in lower case."""

    value: T
    headers: Mapping[str, str]


MAX_DERIVED = 64
"""Options that are remembered as made from one other; further ones are made anew each time."""


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How a call is treated, without what is sent. Calls share these values: one that is asked for again is not made
    again. The fields are those of `Call`."""

    freshness: float | None = None
    swr: float | None = None
    sie: float | None = None
    shared: bool = False
    timeout: float | None = None
    attempts: int | None = None
    media: tuple[str, ...] | None = None
    format: Format | None = None
    takes: tuple[str, ...] = ()
    effect: Literal["read", "write"] | None = None
    outcomes: OutcomeTable = field(default=OUTCOMES, repr=False)
    _derived: dict[tuple[tuple[str, Any], ...], CallOptions] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def changed(self, **changes: Any) -> CallOptions:
        """The options with these fields changed. The values must be hashable."""
        key = tuple(changes.items())
        found = self._derived.get(key)
        if found is None:
            found = replace(self, **changes)
            if len(self._derived) < MAX_DERIVED:
                self._derived[key] = found
        return found


_DEFAULTS = CallOptions()


class Call(Struct, Generic[T], frozen=True):
    """One request to one upstream.

    name      for logs, spans and Server-Timing, for example ``Catalog.product``
    template  the path as declared, for example ``/products/{sku}``
    path      the path with its parameters filled in and percent-encoded
    model     any type pydantic can validate: a model, a list, a union
    query     pairs in declared order; a list argument repeats its name
    body      bytes, None for a call without a body
    body_type media type of the body
    headers   request headers of this call: pairs with names in lower case
    tags      names of what the answer shows, for invalidation: ``orders``, ``product/mug-01``
    key       idempotency key of a write; None: inside a command one is derived
    options   how it is treated; their fields can be read from the call as well:

    freshness seconds for which the answer may be cached; None: it is not cached
    swr       further seconds in which the stale answer is served while a new one is fetched (RFC 5861); None: as the
              upstream's Cache-Control says
    sie       further seconds in which the stale answer is served when the call fails (RFC 5861); None: as the
              upstream's Cache-Control says
    shared    True: the answer is the same for every user, so it is cached once and no user's token is sent
    timeout   seconds for one attempt, None for the upstream's setting
    attempts  attempts in all, None for the upstream's setting
    media     media types of answers that are read as JSON, None for the usual ones
    format    how the answer is read, None: as JSON
    takes     names of answer headers, in lower case; when there are any, the call gives an `Answer` with them
    outcomes  what each status outside 2xx means
    """

    owner: Owner
    name: str
    method: Method
    template: str
    path: str
    model: Any
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    body_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    key: str | None = None
    options: CallOptions = _DEFAULTS

    @property
    def freshness(self) -> float | None:
        return self.options.freshness

    @property
    def swr(self) -> float | None:
        return self.options.swr

    @property
    def sie(self) -> float | None:
        return self.options.sie

    @property
    def shared(self) -> bool:
        return self.options.shared

    @property
    def timeout(self) -> float | None:
        return self.options.timeout

    @property
    def attempts(self) -> int | None:
        return self.options.attempts

    @property
    def media(self) -> tuple[str, ...] | None:
        return self.options.media

    @property
    def format(self) -> Format | None:
        return self.options.format

    @property
    def takes(self) -> tuple[str, ...]:
        return self.options.takes

    @property
    def outcomes(self) -> OutcomeTable:
        return self.options.outcomes

    @property
    def is_write(self) -> bool:
        """Whether the call changes something. Reads may be cached, coalesced, hedged and tried again; a write is tried
        again only with an idempotency key."""
        effect = self.options.effect
        return self.method != "GET" if effect is None else effect == "write"

    def as_read(self) -> Call[T]:
        """Declare that the call changes nothing whatever its method is, such as a search by POST."""
        return self._treated(effect="read")

    def as_write(self) -> Call[T]:
        """Declare that the call changes something, although it is a GET."""
        call = self._treated(effect="write", freshness=None, swr=None, sie=None, shared=False)
        return structs.replace(call, tags=()) if call.tags else call

    def fresh(
        self,
        seconds: float,
        *,
        stale_while_revalidate: float | None = None,
        stale_if_error: float | None = None,
    ) -> Call[T]:
        """Cache the answer and serve it again for this many seconds (above 0, at most 86,400, a day). Reads only.

        stale_while_revalidate  further seconds in which the stale answer is served while a new one is fetched
        stale_if_error          further seconds in which the stale answer is served when the call fails; an optional
                                part is then `stale` and has an age

        Both are 0 to 86,400 seconds and begin when the answer is no longer fresh (RFC 5861). Default None: what the
        upstream's Cache-Control grants, otherwise 0. A shorter time or a prohibition in the upstream's Cache-Control
        (RFC 9111) applies to all three. Raises DeclarationError.
        """
        self._check_read("cached")
        if not 0 < seconds <= MAX_LIFETIME:
            raise DeclarationError(
                f"{self.name}: fresh() takes seconds above 0 and at most {MAX_LIFETIME:g}, not {seconds}"
            )
        for name, value in (
            ("stale_while_revalidate", stale_while_revalidate),
            ("stale_if_error", stale_if_error),
        ):
            if value is not None and not 0 <= value <= MAX_LIFETIME:
                raise DeclarationError(
                    f"{self.name}: {name} is seconds from 0 to {MAX_LIFETIME:g}, not {value}"
                )
        return self._treated(freshness=seconds, swr=stale_while_revalidate, sie=stale_if_error)

    def tagged(self, *tags: str) -> Call[T]:
        """Name what the answer shows, at most 16 tags in all. Reads only.

        A cached answer is not used any more when one of its tags is invalidated. After a command with `invalidates=` it
        is not served to the user who sent the command. Raises DeclarationError.
        """
        self._check_read("tagged")
        together = tuple(dict.fromkeys((*self.tags, *map(tag_of, tags))))
        if len(together) > MAX_TAGS:
            raise DeclarationError(f"{self.name}: at most {MAX_TAGS} tags, not {len(together)}")
        return structs.replace(self, tags=together)

    def public(self) -> Call[T]:
        """Declare that the answer is the same for every user; the user's token is not sent. Reads only. Raises
        DeclarationError."""
        self._check_read("public")
        return self._treated(shared=True)

    def keyed(self, key: str) -> Call[T]:
        """Send a write with this idempotency key (1–255 visible ASCII characters). Raises DeclarationError."""
        if not self.is_write:
            raise DeclarationError(f"{self.name}: a read needs no idempotency key")
        if not key or len(key) > 255 or not key.isascii() or not key.isprintable():
            raise DeclarationError(f"{self.name}: an idempotency key is 1 to 255 visible ASCII characters")
        return structs.replace(self, key=key)

    def within(self, seconds: float) -> Call[T]:
        """Allow one attempt at most this many seconds (above 0); the request's deadline still applies. Raises
        DeclarationError."""
        if seconds <= 0:
            raise DeclarationError(f"{self.name}: within() takes seconds above 0, not {seconds}")
        return self._treated(timeout=seconds)

    def tries(self, times: int) -> Call[T]:
        """Make at most this many attempts in all, from 1 (no retry) to 10. A write is repeated only with an idempotency
        key: one given by `keyed`, or one derived in a command that is `safe`. Raises DeclarationError."""
        if not 1 <= times <= 10:
            raise DeclarationError(f"{self.name}: tries() takes 1 to 10, not {times}")
        return self._treated(attempts=times)

    def media_types(self, *types: str) -> Call[T]:
        """Read the answer as JSON when it has one of these media types, for example ``text/plain``; `""` means an
        answer without a content type. Default: ``application/json``, ``text/json``, every ``…+json``, and no content
        type. An answer of another type is `invalid`. Raises DeclarationError."""
        if not types:
            raise DeclarationError(f"{self.name}: media_types() takes at least one media type")
        return self._treated(media=tuple(media_type.strip().lower() for media_type in types))

    def header(self, name: str, value: str | None) -> Call[T]:
        """Send a header, such as ``Accept-Language``; None leaves it out. The value is part of the key under which an
        answer is cached or shared.

        Raises DeclarationError for a name that is not one or is set by the gateway. A value that no header can have is
        Refused with status 400, because it often comes from a client.
        """
        plain = name.lower()
        if not _HEADER.fullmatch(plain) or is_own_header(plain):
            raise DeclarationError(f"{self.name}: {name!r} is no name for a header, or the gateway sets it")
        if value is None:
            return self
        if not is_header_value(value):
            detail = f"The value for {name} has characters that headers cannot have."
            raise Refused(self.owner, self.name, detail, status=400)
        others = tuple(pair for pair in self.headers if pair[0] != plain)
        return structs.replace(self, headers=(*others, (plain, value)))

    def answered(self, format: Format) -> Call[T]:
        """Read the answer in another format than JSON: `TEXT`, `BYTES`, `JSON_LINES` or a `Format` of your own. Raises
        DeclarationError where the model does not fit it."""
        try:
            format.check(self.model)
        except DeclarationError as error:
            raise DeclarationError(f"{self.name}: {error}") from None
        # A format of the user's may not be hashable.
        return structs.replace(self, options=replace(self.options, format=format))

    def with_headers(self, *names: str) -> Call[Answer[T]]:
        """Give an `Answer` with the value and these headers of the service's answer, such as ``Link`` or
        ``X-Total-Count``. Raises DeclarationError."""
        taken = tuple(dict.fromkeys(name.lower() for name in names))
        if not taken or not all(_HEADER.fullmatch(name) for name in taken) or "set-cookie" in taken:
            raise DeclarationError(f"{self.name}: with_headers() takes names of headers, and no Set-Cookie")
        return cast("Call[Answer[T]]", self._treated(takes=taken))

    def passes(self, *statuses: int, only: bool = False) -> Call[T]:
        """Pass these statuses of the service on unchanged, for screens and commands and for every user.

        statuses  400 to 499 except 401 and 407 (they are about the gateway's credentials) and 429 (it is `overloaded`)
        only      False: in addition to the statuses that the contract's table passes on; True: instead of them, so that
                  without statuses none is passed on. A status that is not passed on becomes 502.

        Raises DeclarationError.
        """
        for status in statuses:
            if not 400 <= status <= 499 or status in NEVER_PASSED:
                raise DeclarationError(
                    f"{self.name}: passes() takes statuses from 400 to 499 without "
                    f"{', '.join(map(str, sorted(NEVER_PASSED)))}, not {status}"
                )
        if not statuses and not only:
            raise DeclarationError(f"{self.name}: passes() takes statuses; only=True alone passes none on")
        return self._treated(outcomes=self.outcomes.passing(statuses, only=only))

    def _treated(self, **changes: Any) -> Call[T]:
        """The call with other options."""
        return Call(
            self.owner,
            self.name,
            self.method,
            self.template,
            self.path,
            self.model,
            self.query,
            self.body,
            self.body_type,
            self.headers,
            self.tags,
            self.key,
            self.options.changed(**changes),
        )

    def _check_read(self, what: str) -> None:
        if self.is_write:
            raise DeclarationError(f"{self.name}: only a read can be {what}, this {self.method} writes")

    def __await__(self) -> Generator[Any, None, T]:
        request = current_context()
        running: Generator[Any, None, T] = request.runner.run(self, request).__await__()
        return running
