"""The service of the attachments: `python -m services.files 9102 [FOLDER]`. It knows nothing of the gateway.

A file is whole or it is not there: an upload is written beside its place and moved to it when all of it has come. The
media type is the uploader's word, as in many such services: what a browser may do with a file is decided in front.
"""

import asyncio
import json
import mimetypes
import shutil
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

BLOCK = 1_048_576


class Attachments:
    """The files of all tickets, in one folder for each ticket. types: of the files that came with one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / ".incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._types: dict[Path, str] = {}
        self._followers: dict[str, set[asyncio.Queue[dict[str, Any]]]] = {}

    def place(self, request: Request) -> Path:
        """Where the file of a request is; 404 for a name that is none."""
        return self._folder / _name(request.path_params["id"]) / _name(request.path_params["name"])

    def found(self, request: Request) -> Path:
        place = self.place(request)
        if not place.is_file():
            raise HTTPException(404, "There is no such file.")
        return place

    def described(self, place: Path) -> dict[str, Any]:
        kind = self._types.get(place) or mimetypes.guess_type(place.name)[0] or "application/octet-stream"
        return {"name": place.name, "size": place.stat().st_size, "type": kind}

    def of(self, ticket: str) -> list[dict[str, Any]]:
        """The files of a ticket, the newest first."""
        folder = self._folder / _name(ticket)
        files = sorted(folder.glob("*"), key=lambda place: place.stat().st_mtime_ns, reverse=True)
        return [self.described(place) for place in files]

    def keep(self, incoming: Path, place: Path, kind: str) -> bool:
        """Give a file that has come whole its name, and tell who follows. Returns whether it is new."""
        is_new = not place.exists()
        place.parent.mkdir(exist_ok=True)
        incoming.replace(place)
        if kind:
            self._types[place] = kind
        for queue in self._followers.get(place.parent.name, ()):
            queue.put_nowait(self.described(place))
        return is_new

    def incoming(self) -> tuple[Path, BinaryIO]:
        """A place for a file that is on its way."""
        path = self._incoming / uuid.uuid4().hex
        return path, path.open("wb")

    async def news(self, ticket: str) -> AsyncIterator[str]:
        """An event for each file that arrives."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(100)
        followers = self._followers.setdefault(_name(ticket), set())
        followers.add(queue)
        try:
            yield ": following\n\n"
            while True:
                yield f"event: file\ndata: {json.dumps(await queue.get())}\n\n"
        finally:
            followers.discard(queue)


def _name(text: str) -> str:
    if text.startswith(".") or not text.isprintable() or "/" in text:
        raise HTTPException(404, "There is no such file.")
    return text


def service(folder: Path) -> Starlette:
    """The application. folder: where the files are."""
    attachments = Attachments(folder)

    async def files(request: Request) -> Response:
        """GET lists them; POST takes the files of a form (`multipart/form-data`)."""
        ticket = request.path_params["id"]
        if request.method == "GET":
            return JSONResponse(attachments.of(ticket))
        made = []
        async with request.form(max_files=10) as form:
            for part in form.getlist("file"):
                if not isinstance(part, UploadFile) or not part.filename:
                    raise HTTPException(422, "Each part `file` is a file with a name.")
                place = folder / _name(ticket) / _name(part.filename)
                incoming, out = attachments.incoming()
                with out:
                    await asyncio.to_thread(shutil.copyfileobj, part.file, out, BLOCK)
                attachments.keep(incoming, place, part.content_type or "")
                made.append(attachments.described(place))
        if not made:
            raise HTTPException(422, "The form has no part `file`.")
        at = f"/v1/tickets/{quote(ticket)}/files/{quote(made[0]['name'])}"
        return JSONResponse(made, 201, {"location": at})

    async def file(request: Request) -> Response:
        """GET with ranges and conditions, as Starlette answers them; PUT takes the bytes as they are; DELETE."""
        if request.method == "PUT":
            return await store(request)
        place = attachments.found(request)
        if request.method == "DELETE":
            place.unlink()
            return Response(status_code=204)
        kind = attachments.described(place)["type"]
        return FileResponse(place, filename=place.name, media_type=kind, content_disposition_type="inline")

    async def store(request: Request) -> Response:
        place = attachments.place(request)
        incoming, out = attachments.incoming()
        try:
            with out:
                # Raises ClientDisconnect where the sender leaves in the middle.
                async for piece in request.stream():
                    await asyncio.to_thread(out.write, piece)
            is_new = attachments.keep(incoming, place, request.headers.get("content-type", ""))
        finally:
            incoming.unlink(missing_ok=True)
        return JSONResponse(attachments.described(place), 201 if is_new else 200)

    async def events(request: Request) -> Response:
        return StreamingResponse(attachments.news(request.path_params["id"]), media_type="text/event-stream")

    return Starlette(
        routes=[
            Route("/v1/tickets/{id}/files", files, methods=["GET", "POST"]),
            Route("/v1/tickets/{id}/files/{name}", file, methods=["GET", "PUT", "DELETE"]),
            Route("/v1/tickets/{id}/events", events),
        ]
    )


if __name__ == "__main__":
    kept = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp(prefix="tracker-files-"))
    uvicorn.run(service(kept), port=int(sys.argv[1]), log_level="warning")
