"""What is not a success: RFC 9457 problem details with a stable `code`. Promises one shape for every refusal;
refuses to put an exception's text into an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class PointedError(BaseModel):
    """One thing wrong with the input; `pointer` is a JSON pointer (RFC 6901) into the body or the query."""

    pointer: str
    detail: str


class ProblemBody(BaseModel):
    """The body of every answer that is not a success (RFC 9457)."""

    model_config = ConfigDict(title="Problem")

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str | None = None
    errors: list[PointedError] | None = None
    owner: dict[str, str] | None = None


@dataclass(eq=False)
class Problem(Exception):
    """Raise it to answer with a problem.

    `final` says that the same request will be refused for ever (a declined card, a cancelled order): such an
    answer is stored under the request's idempotency key, any other refusal may be tried again with the same key.
    """

    status: int
    code: str
    detail: str
    final: bool = False
    errors: Sequence[tuple[str, str]] = ()
    owner: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, instance: str | None = None) -> bytes:
        document: dict[str, Any] = {
            "type": f"urn:shop:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if instance is not None:
            document["instance"] = instance
        if self.errors:
            document["errors"] = [{"pointer": pointer, "detail": detail} for pointer, detail in self.errors]
        if self.owner:
            document["owner"] = dict(self.owner)
        return json.dumps(document, ensure_ascii=False).encode()

    def response(self, instance: str | None = None) -> Response:
        return Response(self.body(instance), self.status, dict(self.headers), MEDIA_TYPE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A way an operation may say no, declared with it; `raise CARD_DECLINED.problem()` does say it."""

    status: int
    code: str
    detail: str
    final: bool = False

    def problem(self, detail: str | None = None, errors: Sequence[tuple[str, str]] = ()) -> Problem:
        """This refusal as a problem, with this occurrence's own detail and pointed errors."""
        return Problem(self.status, self.code, detail or self.detail, final=self.final, errors=errors)


NOT_FOUND = Refusal(404, "not-found", "There is no such thing here.")
