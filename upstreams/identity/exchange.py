"""Requests and answers as Authlib's core wants them. Refuses to decide anything: who may have what stands in
`provider.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from authlib.oauth2.rfc6749 import OAuth2Payload, OAuth2Request
from starlette.responses import Response

# Authlib is untyped: its base classes are Any for mypy, hence the `misc` ignores below.

NO_STORE = {"Cache-Control": "no-store"}


class Payload(OAuth2Payload):  # type: ignore[misc]
    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._lists: dict[str, list[str]] = {}
        for name, value in pairs:
            self._lists.setdefault(name, []).append(value)

    @property
    def data(self) -> dict[str, str]:
        return {name: values[0] for name, values in self._lists.items()}

    @property
    def datalist(self) -> dict[str, list[str]]:
        return self._lists


class Request(OAuth2Request):  # type: ignore[misc]
    """An HTTP request for the core: `query` for the front channel, `form` for the token endpoint."""

    def __init__(
        self,
        method: str,
        headers: Mapping[str, str] | None = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        form: Sequence[tuple[str, str]] = (),
    ) -> None:
        # The core refuses plain http, which the demo on loopback is; where TLS ends is the operator's matter.
        super().__init__(method, "https://identity/", headers=headers)
        self.payload = Payload([*query, *form])
        self._form = dict(form)

    @property
    def form(self) -> dict[str, str]:
        return self._form


class Answer(Response):
    """What the core answers; never stored by caches. RFC 9207's extension rewrites `location`."""

    def __init__(self, status: int, body: str, headers: Mapping[str, str]) -> None:
        referrer = {"Referrer-Policy": "no-referrer"} if "Location" in headers else {}
        super().__init__(body, status, {**headers, **referrer, **NO_STORE})

    @property
    def location(self) -> str | None:
        return self.headers.get("location")

    @location.setter
    def location(self, value: str) -> None:
        self.headers["location"] = value
