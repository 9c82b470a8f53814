"""The way of one request through an operation: fault, caller, input, key, effect, answer. Promises that a mutation's
effect and its stored answer are one commit, and that callers are admitted before any lookup; refuses no operation
anything it did not declare."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from starlette.requests import Request
from starlette.responses import Response

from upstreams.kit.database import Database
from upstreams.kit.faults import Faults
from upstreams.kit.idempotency import KeyStore, Stored, fingerprint_of, parse_key
from upstreams.kit.operations import Answer, Ask, Operation, bind_body, bind_query, dump, read_body
from upstreams.kit.problems import NOT_FOUND, Problem
from upstreams.kit.tokens import Caller, TokenVerifier
from upstreams.kit.tracing import Hop

MAX_PATH_VALUE = 200
ATTEMPTS = 3


class Dispatch:
    """Serves declared operations; without `faults` none are ever planned."""

    def __init__(
        self,
        database: Database,
        keys: KeyStore,
        verifier: TokenVerifier,
        faults: Faults | None,
        commits: Sequence[Callable[[], None]],
    ) -> None:
        self._database = database
        self._keys = keys
        self._verifier = verifier
        self._faults = faults
        self._commits = commits

    async def serve(self, declared: dict[str, Operation], request: Request) -> Response:
        operation = declared["GET" if request.method == "HEAD" else request.method]
        caller = None
        if not operation.public:
            caller = await self._verifier.caller(request.headers.get("authorization", ""))
            operation.admit(caller)
        # The whole request is read before a fault may park it: its effect no longer needs its client.
        ask = await self._bind(operation, request, caller)
        refusable = operation.mutates and bool(operation.refuses)
        plan = None
        if self._faults is not None:
            path = request.scope["path"]
            plan = self._faults.strike(operation.method, path, operation.path, refusable=refusable)
        if self._faults is None or plan is None:
            return await self._answer(operation, ask, refuse=False)
        await self._faults.before(plan)
        response = await self._answer(operation, ask, refuse=plan.refuse and refusable)
        await self._faults.after(plan)
        return response

    async def _answer(self, operation: Operation, ask: Ask[Any], *, refuse: bool) -> Response:
        if operation.mutates and operation.transaction:
            return await self._once(operation, ask, refuse=refuse)
        if refuse:
            raise operation.refuses[0].problem()
        if not operation.transaction:
            return _kept(_response(await operation.handler(ask), operation), operation, ask)
        async with self._database.read() as db:
            result = await operation.handler(replace(ask, connection=db))
        return _kept(_response(result, operation), operation, ask)

    async def _bind(self, operation: Operation, request: Request, caller: Caller | None) -> Ask[Any]:
        path = {name: str(value) for name, value in request.path_params.items()}
        if any(len(value) > MAX_PATH_VALUE or "\0" in value for value in path.values()):
            raise NOT_FOUND.problem()
        hop: Hop = request.state.hop
        headers: Mapping[str, str] = dict(request.headers)
        if not operation.mutates:
            return Ask(bind_query(operation.takes, request), path, hop, headers, caller)
        key = parse_key(request.headers.get("idempotency-key"))
        body = await read_body(request)
        given = bind_body(operation.takes, body, request.headers.get("content-type", ""))
        target = f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')}"
        fingerprint = fingerprint_of(operation.method, target, body)
        return Ask(given, path, hop, headers, caller, key, fingerprint)

    async def _once(self, operation: Operation, ask: Ask[Any], *, refuse: bool) -> Response:
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._mutate(operation, ask, refuse=refuse)
            except IntegrityError:
                # On a server database two first requests for one thing may race: the loser now finds the winner's.
                continue
        return await self._mutate(operation, ask, refuse=refuse)

    async def _mutate(self, operation: Operation, ask: Ask[Any], *, refuse: bool) -> Response:
        owner = ask.caller_or_none.id if ask.caller_or_none else ""
        async with self._database.write() as db:
            stored = await self._keys.claim(db, owner, ask.key, ask.fingerprint)
            if stored is not None:
                return _replayed(stored)
            try:
                # A refusal undoes what the handler wrote, and nothing else: it is stored like any answer.
                async with db.begin_nested():
                    if refuse:
                        raise operation.refuses[0].problem()
                    bound = replace(ask, connection=db)
                    response = _response(await operation.handler(bound), operation)
            except Problem as problem:
                if not problem.final:
                    raise
                response = problem.response(f"urn:uuid:{ask.hop.correlation_id}")
            answer = Stored(
                response.status_code,
                response.media_type or "application/json",
                response.headers.get("location"),
                bytes(response.body),
            )
            await self._keys.settle(db, owner, ask.key, answer)
        for committed in self._commits:
            committed()
        return response


def _response(result: BaseModel | Answer, operation: Operation) -> Response:
    answer = result if isinstance(result, Answer) else Answer(result)
    headers = {"Location": answer.location} if answer.location else None
    status = answer.status or operation.status
    return Response(dump(answer.body), status, headers, media_type="application/json")


def _kept(response: Response, operation: Operation, ask: Ask[Any]) -> Response:
    """A read's answer with how long a copy may be kept; 304 for whoever has this very one (RFC 9110, section 13)."""
    if operation.kept is None or operation.mutates or response.status_code != 200:
        return response
    tag = f'"{hashlib.sha256(bytes(response.body)).hexdigest()[:32]}"'
    who = "public" if operation.public else "private"
    headers = {"ETag": tag, "Cache-Control": f"{who}, max-age={operation.kept}"}
    known = {one.strip().removeprefix("W/") for one in ask.headers.get("if-none-match", "").split(",")}
    if known & {tag, "*"}:
        return Response(status_code=304, headers=headers)
    response.headers.update(headers)
    return response


def _replayed(stored: Stored) -> Response:
    headers = {"Idempotency-Replayed": "true"}
    if stored.location:
        headers["Location"] = stored.location
    return Response(stored.body, stored.status, headers, stored.media_type)
