"""Everything that is not a success, as application/problem+json (RFC 9457).

A `Problem` is raised anywhere at the edge and written once, by the outermost layer, which adds the correlation and
trace ids. `code` is stable: clients program against it, and `type` is the address of its explanation in the docs.
`OwnerContacts` decides whether a problem shows how to reach the owner of the service that failed.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import to_json

from ..calls import Owner
from .problem_codes import CODES
from .state import state_of

DOCS = "/docs/problems"
MEDIA_TYPE = "application/problem+json"

TITLES: dict[str, str] = {code: one.title for code, one in CODES.items()}
"""Every code of this gateway's problems, and the title of each."""

QUOTA_TYPE = "https://iana.org/assignments/http-problem-types#quota-exceeded"


class Problem(Exception):
    """An answer that is not a success. Raise one in a view or a command to refuse with your own message:

        raise Problem(409, "sold-out", "The last ticket went a minute ago.", extra={"next": "/tickets/later"})

    From a command, a status that the contract's table stores (400, 402, 403, 404, 409, 410, 412, 413, 422, 428, 451)
    is the command's outcome: the same key gets the same answer. After any other, and after one with `retry_after`, the
    same key may try again, as far as that is safe.

    status       HTTP status, 400 to 599
    code         a stable name: one of TITLES, or one of your own (then `type` is /docs/problems)
    detail       what happened and what to do, one or two sentences; never a secret
    errors       `{"pointer": "/lines/0/quantity", "detail": "…"}` for input that does not fit
    owner        the upstream's owner where an upstream failed
    retry_after  seconds; also sent as the Retry-After header, rounded up
    headers      further response headers
    extra        further members of the problem document
    for_people   shown on a page in place of `detail` (pages.py): a title, and a sentence or two
    return_to    a path of this site where the person wanted to be, for the page's way to sign in
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
        for_people: tuple[str, str] | None = None,
        return_to: str | None = None,
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
        # The docs have an anchor only for the codes of TITLES: for other codes the type is the page itself.
        self.type = type or (f"{DOCS}#{code}" if code in TITLES else DOCS)
        self.extra = dict(extra or {})
        self.for_people = for_people
        self.return_to = return_to

    def document(
        self, *, correlation_id: str, trace_id: str, base: str = "", contacts: bool = True
    ) -> dict[str, Any]:
        """The problem document. base: the gateway's own address, put before a `type` that is a path; contacts: whether
        it says how to reach the owner."""
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
            document["owner"] = self.owner.as_dict(contacts=contacts)
        if self.errors:
            document["errors"] = [dict(error) for error in self.errors]
        if self.retry_after is not None:
            document["retry_after"] = round(self.retry_after, 3)
        return document | self.extra

    def response_headers(self, *, contacts: bool = True) -> dict[str, str]:
        headers = {"content-type": MEDIA_TYPE, "cache-control": "no-store", **self.headers}
        if self.retry_after is not None:
            headers["retry-after"] = str(max(1, -int(-self.retry_after // 1)))
        if contacts and self.owner is not None and self.owner.docs:
            headers["link"] = f'<{self.owner.docs}>; rel="help"'
        return headers

    def body(self, *, correlation_id: str, trace_id: str, base: str = "", contacts: bool = True) -> bytes:
        return to_json(
            self.document(correlation_id=correlation_id, trace_id=trace_id, base=base, contacts=contacts)
        )


Shown = Literal["everybody", "signed-in", "nobody"]


@dataclass(frozen=True, slots=True)
class OwnerContacts:
    """shown: the setting `owner_contacts`."""

    shown: Shown = "everybody"

    def on(self, scope: MutableMapping[str, Any]) -> bool:
        """Whether the answer to this request may contain them. A request that was not authenticated counts as one
        without a sign-in."""
        return self.shown == "everybody" or (
            self.shown == "signed-in" and state_of(scope).principal is not None
        )


EVERYBODY = OwnerContacts()
