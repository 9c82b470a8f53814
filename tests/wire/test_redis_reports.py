"""What a gateway reports about its Redis: in `/readyz`, in the log, and in `bff check --connect`."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bff.cli.main import main

from ..conftest import Valkey
from ..unit.edge.access.issuing import jwk
from ..waiting import until
from .gateway import keyed, running
from .scripted import KEY

WISH = {"name": "a"}


async def test_an_outage_is_one_log_line_and_one_at_its_end_however_many_requests_are_503(
    own_valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bff")
    async with running(own_valkey.url, redis={"url": own_valkey.url, "timeout": 0.2}) as one:
        first = await one.client.post("/api/things/ok", json=WISH, headers=keyed())
        assert first.status_code == 200, first.text
        caplog.clear()
        own_valkey.stop(signal.SIGKILL)
        for _ in range(5):
            answers = await asyncio.gather(
                *(one.client.post("/api/things/ok", json=WISH, headers=keyed()) for _ in range(10))
            )
            assert {answer.status_code for answer in answers} == {503}
        away = (await one.client.get("/readyz")).json()["dependencies"]["redis"]
        assert away["state"] == "away"
        own_valkey.start()
        runtime = one.gateway.runtime
        assert runtime is not None
        await until(lambda: runtime.stores.redis.outage.current is None)
        told = [line.getMessage() for line in caplog.records if line.levelno >= logging.WARNING]
        # The pub/sub connection is a separate one.
        told = [line for line in told if "pub/sub" not in line]
        assert len(told) == 2, told
        assert "fails (" in told[0] and "works again" in told[1]
        assert [line for line in caplog.records if line.exc_info] == []


async def test_a_redis_that_refuses_writes_is_named_in_readyz_and_the_gateway_stays_ready(
    own_valkey: Valkey,
) -> None:
    async with running(own_valkey.url) as one:
        runtime = one.gateway.runtime
        assert runtime is not None
        await runtime.stores.redis.call("CONFIG", "SET", "min-replicas-to-write", "1")
        refused = await one.client.post("/api/things/ok", json=WISH, headers=keyed())
        assert refused.status_code == 503
        answer = await one.client.get("/readyz")
        assert answer.status_code == 200
        redis = answer.json()["dependencies"]["redis"]
        assert redis["state"] == "refusing"
        assert [one["code"] for one in redis["refuses"]] == ["NOREPLICAS"]
        assert answer.json()["dependencies"]["journals"] == {"waiting": 0}


class Others(BaseHTTPRequestHandler):
    """The upstream and the issuer, so that Redis alone decides."""

    def do_GET(self) -> None:
        body = json.dumps({"keys": [jwk(KEY, "k1", use="sig", alg="ES256")]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("--appendonly", "yes", "--appendfsync", "always"), 0, "nothing to correct"),
        (("--appendonly", "no"), 0, "warning: Redis at"),
        (("--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru"), 0, "maxmemory-policy allkeys-lru"),
        (("--min-replicas-to-write", "1"), 1, "refuses commands with NOREPLICAS"),
        (("--requirepass", "secret"), 1, "refuses commands with NOAUTH"),
        (None, 1, "it refuses connections"),
    ],
)
def test_bff_check_connect_checks_redis(
    tmp_path: Path,
    args: tuple[str, ...] | None,
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "valkey").mkdir()
    server = Valkey(tmp_path / "valkey", args=args or ())
    if args is not None:
        server.start()
    others = ThreadingHTTPServer(("127.0.0.1", 0), Others)
    thread = threading.Thread(target=others.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{others.server_port}"
    try:
        monkeypatch.setenv("BFF_REDIS__URL", server.url)
        monkeypatch.setenv("BFF_UPSTREAMS__SHELF__URL", url)
        issuer = {"issuer": url, "audience": "shop", "jwks_uri": f"{url}/keys"}
        monkeypatch.setenv("BFF_ISSUERS", json.dumps([issuer]))
        monkeypatch.setenv("BFF_LIVE__STREAM_KEYS", '["events:jobs:{p}"]')
        # The gateway has a command that is not safe.
        assert main(["check", "--connect", "tests.wire.gateway:served"]) == code
        told = capsys.readouterr()
        assert says in told.out + told.err
    finally:
        others.shutdown()
        thread.join()
        others.server_close()
        server.stop()
