"""What the settings' models are made of: their base, and the types of addresses.

An address is checked as a whole when it is read, not when it is first used. Every check raises ValueError with one
sentence that says the cure. No message repeats the address, because it may hold a password.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict

_ENCODED = "write them percent-encoded: %2F for /, %23 for #, %3F for ?, %40 for @, %25 for %"
_HOST_NAME = re.compile(r"\w([\w.-]*\w)?\.?|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?\]")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_REDIS = (
    "redis",
    "rediss",
    "unix",
    *(f"{scheme}+{kind}" for scheme in ("redis", "rediss") for kind in ("sentinel", "cluster")),
)


class Section(BaseModel):
    """A group of settings. It is frozen, and an unknown name in it is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def split(url: str, *schemes: str, several: bool = False) -> SplitResult:
    """The parts of a URL that has one of the schemes, a host, and a port from 1 to 65535 or none. several: there may be
    several hosts, separated by commas. Raises ValueError."""
    scheme, sign, rest = url.partition("://")
    if not sign or scheme not in schemes:
        wanted = " or ".join(f"{one}://" for one in schemes)
        raise ValueError(f"must be an address that begins with {wanted}")
    if any(letter <= " " or "\x7f" <= letter <= "\xa0" for letter in url):
        raise ValueError("must be an address without blanks or control characters")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, _, hosts = authority.rpartition("@")
    try:
        for one in hosts.split(",") if several else [hosts]:
            _check_address(one)
    except ValueError:
        # The host ends at the first / ? or #. An @ after it means that one of these characters is in the password.
        if not user and "@" in rest:
            raise ValueError(f"its user or password holds one of / # ?; {_ENCODED}") from None
        raise
    if _ESCAPE.search(user):
        raise ValueError(f"its user or password holds a %; {_ENCODED}")
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("cannot be read as an address") from None


def _check_address(text: str) -> None:
    bracket = text.startswith("[")
    host, _, port = (
        (text[: text.find("]") + 1], "", text[text.find("]") + 1 :].removeprefix(":"))
        if bracket
        else text.partition(":")
    )
    if not host:
        raise ValueError("must be an address that names a host")
    if not bracket and ":" in port:
        raise ValueError("an IPv6 address stands in brackets, such as [::1]:6379")
    if not _HOST_NAME.fullmatch(host):
        raise ValueError("must be an address whose host is a name or an IP address")
    if port and not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65_535):
        raise ValueError("has a port that is not a number from 1 to 65535")


def _address(value: str) -> str:
    parts = split(value, "http", "https")
    if parts.fragment or parts.username is not None:
        raise ValueError("must be an address without user or fragment")
    return value


def _base_url(value: str) -> str:
    if urlsplit(_address(value)).query:
        raise ValueError("must be an address without query")
    return value.rstrip("/")


def _redis_url(value: str) -> str:
    if value.startswith("unix://"):
        return value
    parts = split(value, *_REDIS, several="+" in value.partition("://")[0])
    if parts.fragment:
        raise ValueError(f"holds a #; {_ENCODED}")
    if "@" in parts.path:
        raise ValueError(f"its user or password holds a /; {_ENCODED}")
    database = parts.path.rpartition("/")[2] if "+sentinel" not in parts.scheme else ""
    if database and not (database.isascii() and database.isdigit()):
        raise ValueError("names its database by a number, as in redis://127.0.0.1:6379/0")
    return value


def _listen(value: str) -> str:
    if not value:
        raise ValueError("is empty: write 127.0.0.1 for this machine alone, or 0.0.0.0 for every network")
    if "/" in value or value.startswith("["):
        raise ValueError("is a host alone, such as 0.0.0.0 or ::, without scheme or brackets")
    if value.count(":") == 1:
        raise ValueError("is a host without a port; the port is a setting of its own")
    return value


Url = Annotated[str, AfterValidator(_base_url)]
ExactUrl = Annotated[str, AfterValidator(_address)]
"""An address that stays exactly as written: issuers are compared as strings, and some end in a slash."""
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
ListenHost = Annotated[str, AfterValidator(_listen)]
