"""sse-starlette as one would write it by hand: a queue per stream, a dictionary of them, a POST that fills it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

queues: defaultdict[str, set[asyncio.Queue[str]]] = defaultdict(set)


async def subscribe(request: Request) -> Response:
    mine = queues[request.query_params["u"]]

    async def events() -> AsyncIterator[dict[str, str]]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        mine.add(queue)
        try:
            while True:
                yield {"data": await queue.get()}
        finally:
            mine.discard(queue)

    return EventSourceResponse(events(), ping=15, sep="\n")


async def publish(request: Request) -> Response:
    body = (await request.body()).decode()
    for queue in queues[request.query_params["u"]]:
        queue.put_nowait(body)
    return Response(status_code=202)


async def tasks(request: Request) -> Response:
    return JSONResponse(len(asyncio.all_tasks()))


app = Starlette(
    routes=[
        Route("/sub", subscribe),
        Route("/pub", publish, methods=["POST"]),
        Route("/tasks", tasks),
    ]
)
