from __future__ import annotations

import json

import pytest
from starlette.exceptions import HTTPException

from bff import Problem
from bff.calls import CircuitOpen, Failed, Invalid, Overloaded, Owner, Refused, Timeout, Unreachable
from bff.edge.describe.docs import problems
from bff.edge.function_errors import UpstreamFailures
from bff.edge.http.envelope import as_problem
from bff.edge.problem import TITLES
from bff.stores.redis.client import StoreUnavailable

OWNER = Owner("shelf", "Shelf team", "#shelf", "https://docs.test/shelf")
CORRELATION, TRACE = "6f1c1d6e-0000-4000-8000-000000000000", "a" * 32


def document(problem: Problem, base: str = "") -> dict[str, object]:
    found: dict[str, object] = json.loads(problem.body(correlation_id=CORRELATION, trace_id=TRACE, base=base))
    return found


def test_the_document_has_every_member_of_the_contract_and_no_empty_one() -> None:
    assert document(Problem(404, "not-found", "Nothing here.")) == {
        "type": "/docs/problems#not-found",
        "title": TITLES["not-found"],
        "status": 404,
        "detail": "Nothing here.",
        "instance": f"urn:uuid:{CORRELATION}",
        "code": "not-found",
        "correlation_id": CORRELATION,
        "trace_id": TRACE,
    }


def test_type_is_an_address_below_the_public_url_and_other_addresses_stay() -> None:
    base = "https://shop.test/prefix"
    assert document(Problem(404, "not-found", "x"), base)["type"] == f"{base}/docs/problems#not-found"
    assert document(Problem(403, "too-young", "x"), base)["type"] == f"{base}/docs/problems"
    assert document(Problem(429, "x", "x", type="https://else.test/t"), base)["type"] == "https://else.test/t"


def test_every_code_has_an_anchor_in_the_docs() -> None:
    page = problems().decode()
    for code in TITLES:
        assert f'id="{code}"' in page


@pytest.mark.parametrize(
    ("seconds", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (7.0, "7"), (None, None)]
)
def test_retry_after_is_rounded_up_to_a_whole_second(seconds: float | None, header: str | None) -> None:
    assert (
        Problem(503, "unavailable", "x", retry_after=seconds).response_headers().get("retry-after") == header
    )


def test_the_owner_is_named_with_a_link_to_its_docs() -> None:
    problem = Problem(502, "failed", "x", owner=OWNER)
    assert document(problem)["owner"] == OWNER.as_dict()
    assert problem.response_headers()["link"] == '<https://docs.test/shelf>; rel="help"'
    bare = Problem(502, "failed", "x", owner=Owner("a", "b", "c"))
    assert "link" not in bare.response_headers()


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (Timeout(OWNER, "Shelf.x", "late"), 504, "timeout", None),
        (CircuitOpen(OWNER, "Shelf.x", "open", retry_after=4), 503, "circuit-open", 4),
        (CircuitOpen(OWNER, "Shelf.x", "open"), 503, "circuit-open", 1),
        (Overloaded(OWNER, "Shelf.x", "full", retry_after=7), 503, "overloaded", 7),
        (Overloaded(OWNER, "Shelf.x", "full"), 503, "overloaded", 1),
        (Unreachable(OWNER, "Shelf.x", "gone"), 502, "unreachable", None),
        (Failed(OWNER, "Shelf.x", "500", status=500), 502, "failed", None),
        (Invalid(OWNER, "Shelf.x", "html"), 502, "invalid", None),
        *[
            (Refused(OWNER, "Shelf.x", "no", status=status), 502, "refused", None)
            for status in (400, 401, 403, 405, 418)
        ],
        *[
            (Refused(OWNER, "Shelf.x", "no", status=status, problem={"code": "mine"}), status, "mine", None)
            for status in (404, 409, 410, 422)
        ],
        (Refused(OWNER, "Shelf.x", "no", status=403, identified=True), 403, "refused", None),
        (Refused(OWNER, "Shelf.x", "no", status=404, problem={"code": "csrf"}), 404, "refused", None),
        (Refused(OWNER, "Shelf.x", "no", status=409, retry_after=3), 409, "refused", 3),
        (Refused(OWNER, "Shelf.x", "no", status=404), 404, "refused", None),
    ],
)
def test_the_failure_of_a_required_call_becomes_the_problem_of_the_contract(
    error: Refused, status: int, code: str, retry_after: float | None
) -> None:
    problem = UpstreamFailures().problem(error)
    assert (problem.status, problem.code, problem.retry_after) == (status, code, retry_after)
    assert problem.owner is OWNER
    assert problem.title


def test_a_refusal_that_is_not_passed_on_contains_nothing_of_the_services_answer() -> None:
    told = {"code": "mine", "detail": "inside", "errors": [{"pointer": "/a", "detail": "inside"}]}
    for status in (400, 401, 402, 403, 405, 406, 415):
        problem = UpstreamFailures().problem(Refused(OWNER, "Shelf.x", "inside", status=status, problem=told))
        assert problem.status == 502
        assert "inside" not in str(document(problem)) and problem.code == "refused"


def test_a_refusal_without_a_detail_gets_a_default_detail() -> None:
    for status in (400, 404, 409, 410, 412, 413, 422, 423, 428, 451):
        problem = UpstreamFailures().problem(
            Refused(OWNER, "Shelf.x", f"answered {status}.", status=status), command=True
        )
        assert problem.status == status
        assert problem.detail.startswith("The service ") and problem.title == TITLES["refused"]


def test_an_owner_without_contacts_is_a_service_and_a_team() -> None:
    problem = Problem(502, "failed", "x", owner=OWNER)
    told = json.loads(problem.body(correlation_id=CORRELATION, trace_id=TRACE, contacts=False))
    assert told["owner"] == {"service": "shelf", "team": "Shelf team", "contact": "", "docs": ""}
    assert "link" not in problem.response_headers(contacts=False)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (HTTPException(404), 404, "not-found"),
        (HTTPException(405, headers={"Allow": "GET"}), 405, "method-not-allowed"),
        (HTTPException(400, "odd"), 400, "invalid-request"),
        (StoreUnavailable("password=hunter2"), 503, "unavailable"),
        (RuntimeError("password=hunter2"), 500, "internal"),
        (Problem(418, "tea", "x"), 418, "tea"),
    ],
)
def test_the_answer_to_an_exception_shows_nothing_of_it(error: Exception, status: int, code: str) -> None:
    problem = as_problem(error)
    assert (problem.status, problem.code) == (status, code)
    assert "hunter2" not in str(document(problem))
    if status == 405:
        assert problem.response_headers()["Allow"] == "GET"
