"""Which headers of a forwarded exchange pass, in both directions, and what is changed in them.

Everything passes by list. What proves who asks, belongs to one connection, or is a decision of this gateway never
does, not even by declaration. `Location` and `Link` are rewritten to addresses of this gateway; one that leads
elsewhere is dropped. What a person has uploaded must not act as this site: no answer may run scripts, what browsers
could show as a document is offered for saving, and no page may load it as its own script or style.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import quote, unquote, urljoin, urlsplit

from ...calls.template import UnusablePathValue, template_of
from ..problem import Problem

Pairs = list[tuple[str, str]]

REQUEST = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-range",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "last-event-id",
        "prefer",
        "range",
    }
)
ANSWER = frozenset(
    {
        "accept-ranges",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-type",
        "etag",
        "expires",
        "last-modified",
        "preference-applied",
        "retry-after",
        "x-next-page",
        "x-page",
        "x-per-page",
        "x-prev-page",
        "x-total-count",
        "x-total-pages",
    }
)
_NEVER = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-security-policy",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "server",
        "set-cookie",
        "strict-transport-security",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "www-authenticate",
        "x-bff",
        "x-content-type-options",
        "x-correlation-id",
    }
)
_NEVER_PREFIXES = ("access-control-", "bff-", "proxy-", "sec-", "x-forwarded-")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")

INLINE = frozenset(
    {
        "application/json",
        "application/problem+json",
        "application/x-ndjson",
        "image/avif",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/event-stream",
        "text/plain",
    }
)
"""Media types that no browser runs as a document. Sound and films are added by their family."""
SANDBOX = "sandbox; default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The Content-Security-Policy of every forwarded answer."""
# What stands in an address as it is, escapes among it.
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
_LINK = re.compile(r"\s*<([^<>]*)>((?:\s*;[^,<]*)*)\s*(?:,|$)")


def may_be_forwarded(name: str) -> bool:
    """Whether a declaration may add this header. name: in lower case."""
    return _NAME.fullmatch(name) is not None and name not in _NEVER and not name.startswith(_NEVER_PREFIXES)


def request_pairs(given: Iterable[tuple[bytes, bytes]], more: Sequence[str], own: Mapping[str, str]) -> Pairs:
    """The headers of the request to the service. given: those of the client; more: declared names; own: those that the
    gateway sets, which a client's header replaces only where it says what the client accepts. Raises Problem 400 for a
    value that is not UTF-8: it would arrive as another one."""
    sent = [
        (name, _text(name, raw_value))
        for raw_name, raw_value in given
        if (name := raw_name.decode("latin-1")) in REQUEST or name in more
    ]
    chosen = {name for name, _ in sent if name == "accept"}
    pairs = [(name, value) for name, value in own.items() if name not in chosen]
    return [*pairs, *((name, value) for name, value in sent if name not in own or name in chosen)]


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Problem(400, "invalid-request", f"The header {name} is not UTF-8.") from None


def answer_pairs(
    given: Pairs,
    *,
    status: int,
    more: Sequence[str],
    inline: Sequence[str],
    public: bool,
    address: Callable[[str], str | None],
) -> Pairs:
    """The headers of the answer to the client. inline: declared media types; public: the answer is the same for
    everybody; address: the address here of one at the service, None where there is none."""
    pairs = [(name, value) for name, value in given if name in ANSWER or name in more]
    if status in (204, 304):
        pairs = [(name, value) for name, value in pairs if name != "content-length"]
    values = dict(given)
    if (location := address(values["location"]) if "location" in values else None) is not None:
        pairs.append(("location", location))
    for name, value in given:
        if name == "link" and (links := _links(value, address)):
            pairs.append(("link", links))
    pairs = [(name, value) for name, value in pairs if name not in ("content-disposition", "content-type")]
    if "content-type" in values:
        # Of several the one that was decided on.
        pairs.append(("content-type", values["content-type"]))
    if disposition := _disposition(values, inline):
        pairs.append(("content-disposition", disposition))
    pairs.append(("content-security-policy", SANDBOX))
    cache = ", ".join(value for name, value in given if name == "cache-control")
    pairs.append(("cache-control", _cache_control(cache, public)))
    vary = [value for name, value in given if name == "vary"] + ([] if public else ["Cookie, Authorization"])
    if media_of(values) not in INLINE:
        # A page that loads it as a script gets another answer, see `may_be_run`.
        vary.append("Sec-Fetch-Dest")
    if vary:
        pairs.append(("vary", ", ".join(vary)))
    return pairs


def may_be_run(status: int, headers: Mapping[str, str], inline: Sequence[str]) -> bool:
    """Whether a page may load the answer as its own script, worker or style: only where the forward declares its type.
    A 304 has no type; the answer that it confirms had one when it was stored for the same purpose."""
    return media_of(headers) in inline or (status == 304 and bool(inline))


def media_of(headers: Mapping[str, str]) -> str:
    """The media type without its parameters, "" for none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _disposition(headers: Mapping[str, str], inline: Sequence[str]) -> str | None:
    media = media_of(headers)
    given = headers.get("content-disposition", "")
    shown = media in INLINE or media in inline or media.startswith(("audio/", "video/"))
    if shown or ("content-type" not in headers and headers.get("content-length") == "0"):
        return given or None
    kind, semicolon, parameters = given.partition(";")
    return given if kind.strip().lower() == "attachment" else f"attachment{semicolon}{parameters}"


def _cache_control(given: str, public: bool) -> str:
    """A private answer stays with the person, whatever the service says. given: all values of the header."""
    if public:
        return given or "no-cache"
    # `private="set-cookie"` is about that one field (RFC 9111 section 5.2.2.7), and `s-maxage` about shared caches.
    directives = {part.strip().lower() for part in given.split(",")}
    shared = {"public"} & directives or any(one.startswith("s-maxage") for one in directives)
    if "no-store" in directives:
        return "no-store" if shared else given
    return given if "private" in directives and not shared else "private, no-cache"


def _links(value: str, address: Callable[[str], str | None]) -> str:
    found = []
    for match in _LINK.finditer(value):
        here = address(match.group(1))
        if here is not None:
            found.append(f"<{here}>{match.group(2).rstrip()}")
    return ", ".join(found)


class Addresses:
    """Turns addresses at the service into addresses here. path, target: templates of the forward; bases: where the
    service is reached; prefix: the path of the public address."""

    def __init__(self, path: str, target: str, bases: Sequence[str], prefix: str) -> None:
        self._path = template_of(path)
        self._prefix = prefix
        self._bases = [urlsplit(base) for base in bases]
        several = {name.partition(":")[0] for name in re.findall(r"\{([^}]*:path)\}", path)}
        pattern = ""
        for literal, name in re.findall(r"([^{]*)(?:\{([^}:]*)[^}]*\})?", target):
            pattern += re.escape(literal)
            if name:
                pattern += f"(?P<{name}>{'.+' if name in several else '[^/]+'})"
        self._target = re.compile(pattern)

    def here(self, address: str, asked: str) -> str | None:
        """The address here; None for one elsewhere, or one that has no form here. asked: the path at the service that
        was asked for."""
        if not address.isascii():
            # A service wrote it without escapes.
            address = quote(address.encode("latin-1"), safe=_VISIBLE)
        try:
            parts = urlsplit(urljoin(f"//service{asked}", address))
        except ValueError:
            return None
        paths = [parts.path] if parts.netloc == "service" and not parts.scheme else []
        for base in self._bases:
            if (parts.scheme or base.scheme, parts.netloc) == (base.scheme, base.netloc):
                paths.append(parts.path.removeprefix(base.path.rstrip("/")))
        for path in paths:
            # An empty segment has no address here either, and at the beginning `//` would name another site.
            match = None if "//" in path else self._target.fullmatch(path)
            # An encoded slash has no address here.
            if match is not None and "%2f" not in path.lower() and "%5c" not in path.lower():
                try:
                    given = {
                        name: unquote(value, errors="strict") for name, value in match.groupdict().items()
                    }
                    here = self._path.filled(given)
                except (UnicodeDecodeError, UnusablePathValue):
                    return None
                query = f"?{parts.query}" if parts.query else ""
                return f"{self._prefix}{here}{query}"
        return None
