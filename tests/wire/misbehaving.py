"""An upstream that misbehaves on the wire in every way we know, in a process of its own: `python -m … misbehaving`.

It answers `GET /<fault>/<name>` with the body `{"name": "<name>"}`, changed as the fault says, and prints its port on
standard output. It writes raw bytes and does not use the gateway's code.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator

JSON = "content-type: application/json\r\n"
_DRIP = 0.05
_flapped: set[str] = set()


def answer(status: int, body: bytes, headers: str = JSON, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status} X\r\n{headers}content-length: {size}\r\n\r\n".encode() + body


def written(fault: str, name: str) -> tuple[bytes, bool]:
    """The bytes sent at once, and whether the connection is closed afterwards."""
    body = json.dumps({"name": name, "hidden": "inside"}).encode()
    problem = "content-type: application/problem+json\r\n"
    match fault:
        case "half":
            return answer(200, body, length=len(body) + 50), True
        case "half-head":
            return b"HTTP/1.1 200 OK\r\ncontent-ty", True
        case "short-length":
            return answer(200, body, length=len(body) - 4), True
        case "two-lengths":
            return answer(200, body, f"{JSON}content-length: 3\r\n"), True
        case "second-answer":
            return answer(200, body) + answer(200, b'{"name":"smuggled"}'), False
        case "chunks":
            head = f"HTTP/1.1 200 OK\r\n{JSON}transfer-encoding: chunked\r\n\r\n".encode()
            pieces = [body[i : i + 5] for i in range(0, len(body), 5)]
            return head + b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n", False
        case "bad-chunks":
            head = f"HTTP/1.1 200 OK\r\n{JSON}transfer-encoding: chunked\r\n\r\n".encode()
            return head + b"zz\r\n" + body, True
        case "until-close":
            return f"HTTP/1.1 200 OK\r\n{JSON}\r\n".encode() + body, True
        case "1xx":
            return b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nlink: </a>\r\n\r\n" + answer(
                200, body
            ), False
        case "101":
            return b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", False
        case "huge-head":
            return answer(200, body, f"{JSON}x-big: {'a' * 100_000}\r\n"), True
        case "huge-body":
            return answer(200, b'{"name":"' + b"a" * 60_000 + b'"}'), False
        case "garbage":
            return b"\x16\x03\x01\x00 what\r\n\r\n", True
        case "html":
            return answer(200, b"<html></html>", "content-type: text/html\r\n"), False
        case "no-type":
            return answer(200, body, ""), False
        case "not-json":
            return answer(200, b'{"name": nope}'), False
        case "not-utf8":
            return answer(200, b'{"name":"\xff\xfe"}'), False
        case "deep":
            return answer(200, b"[" * 30_000), False
        case "deep-balanced":
            return answer(200, b'{"name":' + b"[" * 9_000 + b"]" * 9_000 + b"}"), False
        case "wrong-model":
            return answer(200, b'{"title":"x"}'), False
        case "empty":
            return answer(200, b""), False
        case "no-content":
            return b"HTTP/1.1 204 X\r\n\r\n", False
        case "302":
            return answer(302, b"", "location: http://127.0.0.1:1/\r\n"), False
        case "400" | "401" | "403" | "404" | "409" | "410" | "422":
            said = json.dumps({"code": f"no-{fault}", "detail": f"It says {fault}."}).encode()
            return answer(int(fault), said, problem), False
        case "429" | "503":
            return answer(int(fault), b"{}", f"{JSON}retry-after: 90\r\n"), False
        case "500" | "502" | "504":
            return answer(int(fault), b'{"trace":"secret"}'), False
    return answer(200, body), False


class Misbehaving(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._waiting = b""

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while b"\r\n\r\n" in self._waiting:
            head, _, self._waiting = self._waiting.partition(b"\r\n\r\n")
            self._answer(*head.split(b" ", 2)[1].decode().strip("/").split("/")[:2])

    def _answer(self, fault: str, name: str) -> None:
        transport = self._transport
        if fault == "reset" or (fault == "flaps" and name not in _flapped):
            _flapped.add(name)
            transport.abort()
        elif fault == "close":
            transport.close()
        elif fault == "drip":
            asyncio.get_running_loop().call_later(_DRIP, self._drip, written("ok", name)[0])
        elif fault == "stall":
            transport.write(answer(200, b'{"name":', length=100))
        elif fault.startswith("slow-"):
            asyncio.get_running_loop().call_later(float(fault[5:]), self._late, written("ok", name)[0])
        elif fault != "silent":
            data, over = written(fault, name)
            transport.write(data)
            if over:
                transport.close()

    def _late(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def _drip(self, left: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(left[:1])
            if len(left) > 1:
                asyncio.get_running_loop().call_later(_DRIP, self._drip, left[1:])


@contextlib.contextmanager
def misbehaving() -> Iterator[int]:
    """Start it; returns its port."""
    process = subprocess.Popen([sys.executable, "-m", __name__], stdout=subprocess.PIPE)
    try:
        if process.stdout is None:
            raise RuntimeError("no pipe")
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Misbehaving, "127.0.0.1", 0, backlog=2048)
    os.write(1, f"{server.sockets[0].getsockname()[1]}\n".encode())
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve())
