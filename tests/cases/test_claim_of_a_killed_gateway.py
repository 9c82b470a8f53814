"""A gateway was killed in the middle of a command, and a repeat of the command got 409 until the lease was over.

Input: a command that its service never answers, SIGKILL to the gateway that runs it, and the same command with the same
key to another gateway. For the 10 s of the lease the answer was 409 `idempotency-in-flight`, although Redis knows
within 0.3 s that the process has ended (its connections have ended).

Right: the claim of a process that has ended is free at once where the command may be sent again (`safe=True`: its
services get the same derived key). Where it may not (`safe=False`), no gateway runs it a second time.
Source: docs/contract.md, "Commands".
"""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import httpx
import pytest

from ..waiting import GUARD, until
from ..wire.fleet import fleet
from ..wire.gateway import keyed
from ..wire.upstream import http, raw_server


@pytest.mark.parametrize("safe", [True, False])
async def test_the_claim_of_a_killed_gateway_is_free_where_the_command_may_be_sent_again(
    tmp_path: Path, safe: bool
) -> None:
    sent: list[bytes] = []

    async def respond(target: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        sent.append(head)
        if len(sent) == 1:
            await asyncio.sleep(2 * GUARD)
        writer.write(http(200, b'{"name":"made"}'))

    async with raw_server(respond) as shelf:
        settings = {
            "BFF_UPSTREAMS__SHELF__URL": f"http://127.0.0.1:{shelf.port}",
            "BFF_UPSTREAMS__SHELF__TIMEOUT": "60",
            # Longer than the test waits for anything.
            "BFF_IDEMPOTENCY__LEASE": "300",
        }
        with fleet(tmp_path, 2, **settings) as two:
            path = "/api/things/ok" if safe else "/api/unsafe/ok"
            headers = keyed(str(uuid.uuid4()))
            first, second = (f"http://127.0.0.1:{port}{path}" for port in two.ports)
            async with httpx.AsyncClient(timeout=GUARD) as client:
                lost = asyncio.create_task(client.post(first, json={"name": "a"}, headers=headers))
                await until(lambda: sent)
                busy = await client.post(second, json={"name": "a"}, headers=headers)
                assert (busy.status_code, busy.json()["code"]) == (409, "idempotency-in-flight")
                assert len(sent) == 1, "its process lives"
                two.programs[two.ports[0]].kill()
                with pytest.raises(httpx.HTTPError):
                    await lost
                again = await client.post(second, json={"name": "a"}, headers=headers)
                if not safe:
                    assert (again.status_code, len(sent)) == (409, 1)
                    return
                assert (again.status_code, again.json()) == (200, {"name": "made"})
                keys = {
                    line
                    for head in sent
                    for line in head.split(b"\r\n")
                    if b"idempotency-key" in line.lower()
                }
                assert (len(sent), len(keys)) == (2, 1), "the service can see that it is the same command"
