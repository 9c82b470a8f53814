"""Everything that is not a success, as application/problem+json (RFC 9457).

A `Problem` is raised anywhere at the edge and written once, by the outermost layer, which adds the correlation and
trace ids. `code` is stable: clients program against it, and `type` is the address of its explanation in the docs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from ..calls import CircuitOpen, Owner, Refused, Timeout, UpstreamError

DOCS = "/docs/problems"
MEDIA_TYPE = "application/problem+json"

TITLES: dict[str, str] = {
    "not-found": "There is nothing at this address",
    "method-not-allowed": "This address does not take that method",
    "invalid-request": "The request does not fit what this route takes",
    "body-too-large": "The body is larger than this route takes",
    "head-too-large": "The address or the headers are larger than this server takes",
    "too-slow": "The request did not arrive in time",
    "misdirected": "This server does not answer for that host",
    "unsupported-media-type": "This route takes application/json",
    "unauthenticated": "Sign in first",
    "invalid-token": "The token cannot be accepted",
    "invalid-signature": "The message is not signed as it should be",
    "forbidden": "This is not allowed",
    "csrf": "The request did not come from this site's own page",
    "rate-limited": "Too many requests",
    "idempotency-key-missing": "This command needs an Idempotency-Key",
    "idempotency-key-invalid": "The Idempotency-Key cannot be read",
    "idempotency-in-flight": "The same command is being carried out right now",
    "idempotency-mismatch": "This Idempotency-Key was used for another request",
    "idempotency-unknown": "The outcome of this command is not known",
    "idempotency-answer-gone": "The answer of this command was too large to be kept",
    "unavailable": "The gateway cannot do this right now",
    "timeout": "A service did not answer in time",
    "circuit-open": "A service is not being called for a moment",
    "overloaded": "A service has too much to do",
    "unreachable": "A service cannot be reached",
    "failed": "A service failed",
    "refused": "A service refused the request",
    "invalid": "A service gave an answer that cannot be used",
    "sign-in-failed": "The sign-in did not work out",
    "internal": "The gateway made a mistake",
}
"""Every code this gateway answers with, and the sentence that stands over it."""

QUOTA_TYPE = "https://iana.org/assignments/http-problem-types#quota-exceeded"


class Problem(Exception):
    """A refusal or failure on its way to the client.

    status       HTTP status
    code         one of TITLES, or a code of the user's own
    detail       what happened and what to do, one or two sentences; never a secret
    errors       `{"pointer": "/lines/0/quantity", "detail": "…"}` for input that does not fit
    owner        the upstream's owner where an upstream failed
    retry_after  seconds; also sent as the Retry-After header, rounded up
    headers      further response headers
    extra        further members of the problem document
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        title: str | None = None,
        errors: Sequence[Mapping[str, str]] = (),
        owner: Owner | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        type: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.title = title or TITLES.get(code, code)
        self.errors = list(errors)
        self.owner = owner
        self.retry_after = retry_after
        self.headers = dict(headers or {})
        # A code of somebody else's has no anchor in our docs: the page itself is its address then.
        self.type = type or (f"{DOCS}#{code}" if code in TITLES else DOCS)
        self.extra = dict(extra or {})

    def document(self, *, correlation_id: str, trace_id: str, base: str = "") -> dict[str, Any]:
        """The problem document. base: the gateway's own address, put before a `type` that is a path."""
        document: dict[str, Any] = {
            "type": base + self.type if self.type.startswith("/") else self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": f"urn:uuid:{correlation_id}",
            "code": self.code,
            "correlation_id": correlation_id,
            "trace_id": trace_id,
        }
        if self.owner is not None:
            document["owner"] = self.owner.as_dict()
        if self.errors:
            document["errors"] = [dict(error) for error in self.errors]
        if self.retry_after is not None:
            document["retry_after"] = round(self.retry_after, 3)
        return document | self.extra

    def response_headers(self) -> dict[str, str]:
        headers = {"content-type": MEDIA_TYPE, "cache-control": "no-store", **self.headers}
        if self.retry_after is not None:
            headers["retry-after"] = str(max(1, -int(-self.retry_after // 1)))
        if self.owner is not None and self.owner.docs:
            headers["link"] = f'<{self.owner.docs}>; rel="help"'
        return headers

    def body(self, *, correlation_id: str, trace_id: str, base: str = "") -> bytes:
        return to_json(self.document(correlation_id=correlation_id, trace_id=trace_id, base=base))


# What a required part's failure answers (the contract's table); Refused is decided by its status.
_STATUS = {
    "timeout": 504,
    "circuit-open": 503,
    "overloaded": 503,
    "unreachable": 502,
    "failed": 502,
    "invalid": 502,
}
_PASSED_ON = frozenset({404, 409, 422})


def problem_of(error: UpstreamError) -> Problem:
    """The problem a required call's failure becomes. Names the owner; passes 404, 409 and 422 on as they are."""
    if isinstance(error, Refused):
        if error.status in _PASSED_ON:
            return Problem(
                error.status,
                str(error.problem.get("code") or "refused"),
                str(error.problem.get("detail") or error.detail),
                title=str(error.problem.get("title") or TITLES["refused"]),
                errors=_pointers(error.problem.get("errors")),
                owner=error.owner,
                type=f"{DOCS}#refused",
            )
        return Problem(502, "refused", f"{error.call}: {error.detail}", owner=error.owner)
    retry_after = error.retry_after
    status = _STATUS[error.reason]
    if retry_after is None and status == 503:
        retry_after = 1.0
    detail = f"{error.call}: {error.detail}"
    if isinstance(error, Timeout | CircuitOpen):
        detail += f" {error.owner.team} owns it: {error.owner.contact}."
    return Problem(status, error.code, detail, owner=error.owner, retry_after=retry_after)


def _pointers(errors: Any) -> list[dict[str, str]]:
    if not isinstance(errors, list):
        return []
    return [
        {"pointer": str(one.get("pointer", "")), "detail": str(one.get("detail", ""))}
        for one in errors[:100]
        if isinstance(one, dict)
    ]
