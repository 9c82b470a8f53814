"""The three services in one small process: plain ASGI on uvicorn, one port for each, bodies made by joining bytes.

It counts the calls of the screens: `GET /count` returns how many were answered. So a contender's whole work is known
even where the load ended before its last answers.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys

import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from .bodies import halves

_HALVES = halves()
_JSON = (b"content-type", b"application/json")
_answered = 0


async def app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    global _answered
    if scope["type"] != "http":
        return
    kind, _, sku = scope["path"][1:].partition("/")
    if kind in _HALVES:
        before, after = _HALVES[kind]
        body = before + sku.encode() + after
        _answered += 1
    elif kind == "count":
        body = str(_answered).encode()
    else:
        body = os.environ["BENCH_JWKS"].encode()
    headers = [_JSON, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def main(ports: list[int]) -> None:
    sockets = []
    for port in ports:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sockets.append(sock)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=sockets))


if __name__ == "__main__":
    main([int(port) for port in sys.argv[1:]])
