"""The other side of the client process (`clients.py`): sends it commands, a line each."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ..fanout.process import AROUND, ROOT, pin

# The headers that a browser sends with its EventSource; every contender has to read them.
_HEAD = (
    "Host: localhost\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36\r\n"
    "Accept: text/event-stream\r\n"
    "Accept-Language: en\r\n"
    "Cache-Control: no-cache\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: cors\r\n"
    "Sec-Fetch-Dest: empty\r\n"
)


class TooSlow(RuntimeError):
    """The contender works correctly, but not in time."""


def request(path: str, cookie: str | None) -> str:
    """A browser's request for a stream."""
    return f"GET {path} HTTP/1.1\r\n{_HEAD}" + (f"Cookie: {cookie}\r\n" if cookie else "") + "\r\n"


class Crowd:
    """folder: for data that is too long for one line."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.live.clients"),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=2**24,
            preexec_fn=lambda: pin(AROUND),
        )

    async def tell(self, command: str, seconds: float = 60.0) -> Any:  # whatever JSON it answers
        """Send one command. Raises TooSlow, or RuntimeError with the error of the client process."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the clients have no pipes")
        self._process.stdin.write(f"{command}\n".encode())
        try:
            async with asyncio.timeout(seconds):
                answer = json.loads(await self._process.stdout.readline())
        except TimeoutError:
            raise RuntimeError(f"the clients did not answer {command!r} in {seconds:g} s") from None
        if isinstance(answer, dict) and "error" in answer:
            raise (TooSlow if answer.get("slow") else RuntimeError)(answer["error"])
        return answer

    async def open(self, port: int, requests: list[str], ready: str) -> None:
        """Return once each stream has its first bytes."""
        wish = self._folder / "wish.json"
        wish.write_text(json.dumps({"port": port, "requests": requests, "ready": ready}))
        await self.tell(f"open {wish}", 90)

    async def until(self, events: int, seconds: float = 30.0) -> float:
        """Wait for so many events since the streams were opened; returns the seconds that took. More events are a
        RuntimeError, fewer are TooSlow."""
        began = time.monotonic()
        while (seen := await self.tell("count")) < events:
            if time.monotonic() > began + seconds:
                if lost := await self.tell("lost"):
                    raise RuntimeError(f"{lost} streams were closed by the server")
                raise TooSlow(f"{seen:,} of {events:,} events had come after {seconds:g} s")
            await asyncio.sleep(0.005)
        if seen > events:
            raise RuntimeError(f"{seen} events came, {events} were sent")
        return time.monotonic() - began

    async def close(self) -> None:
        """Cut all streams."""
        await self.tell("close")

    async def stop(self) -> None:
        self._process.kill()
        await self._process.wait()
