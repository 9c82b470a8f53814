"""Plays docs/tutorial/first-gateway.md: each of its commands, as they stand there, in an empty folder; and between them
what the page tells a person to do, over HTTP.

    python3 walk.py PAGE FOLDER [install | walk | walk-alone]

It needs nothing but Python. `install` plays the commands before `bff dev`, `walk` the rest; without either both.
`walk-alone` does that in a network of its own, where the tutorial's ports are free whatever else runs here. The
last line that it prints is JSON: the number of commands, and the seconds until the page had a sign-in, a command and a
live value. PIP_FIND_LINKS may name the wheels to install. WALK_BROWSER, if it is set, is a program that is started when
the page is ready, and must end with 0.
"""

from __future__ import annotations

import contextlib
import fcntl
import html
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPCookieProcessor, OpenerDirector, ProxyHandler, Request, build_opener

SITE = "http://localhost:8000"
# Seconds that something may take until the walk is given up; a guard against hanging.
GUARD = 900
READY = "Ctrl-C ends everything."


def commands(page: str) -> list[str]:
    """The lines of the page's blocks of commands, in order."""
    return [
        line
        for block in re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
    ]


class Shell:
    """One bash in which lines are run one after the other, so that `cd` and an activated environment last."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self._guard = threading.Timer(GUARD, self.kill)
        self._guard.start()

    def run(self, line: str) -> str:
        """Run the line and return what it printed. Raises AssertionError with that where it fails."""
        mark = uuid.uuid4().hex
        self._send(f"{line}\necho; echo {mark} $?\n")
        printed: list[str] = []
        for got in self._lines():
            if got.startswith(mark):
                code = got.split()[1]
                assert code == "0", f"{line}: exit code {code}\n{''.join(printed)}"
                return "".join(printed)
            printed.append(got)
        raise AssertionError(f"{line}: the shell ended\n{''.join(printed)}")

    def begin(self, line: str, until: str) -> str:
        """Start a line that goes on, and wait until it has printed a text; the rest is not kept."""
        self._send(f"{line}\n")
        printed: list[str] = []
        for got in self._lines():
            printed.append(got)
            if until in got:
                threading.Thread(target=lambda: list(self._lines()), daemon=True).start()
                return "".join(printed)
        raise AssertionError(f"{line}: it ended\n{''.join(printed)}")

    def _send(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(text)

    def _lines(self) -> Iterator[str]:
        assert self._bash.stdout is not None
        return iter(self._bash.stdout.readline, "")

    def kill(self) -> None:
        """End the shell and all that it started: at first as Ctrl-C does, so that nothing is left behind."""
        self._guard.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGINT)
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        try:
            self._bash.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self._bash.pid, signal.SIGKILL)


class Browser:
    """What a browser does, as far as the walk needs it: cookies, redirects, forms."""

    def __init__(self) -> None:
        # Browsers send secure cookies to localhost without TLS, too.
        cookies = CookieJar(DefaultCookiePolicy(secure_protocols=("https", "http")))
        self._opener: OpenerDirector = build_opener(ProxyHandler({}), HTTPCookieProcessor(cookies))

    def get(self, url: str) -> tuple[str, str]:
        """The final address and the text there."""
        return self._page(Request(url, headers={"accept": "text/html"}))

    def _page(self, request: Request) -> tuple[str, str]:
        with self._opener.open(request, timeout=GUARD) as answer:
            address, text = answer.url, answer.read().decode()
        # The page after a sign-in reloads, because only then the browser sends its new cookie.
        again = re.search(r'<meta http-equiv="refresh" content="0;url=([^"]+)"', text)
        return self.get(urljoin(address, html.unescape(again[1]))) if again else (address, text)

    def json(self, url: str) -> Any:
        with self._opener.open(url, timeout=GUARD) as answer:
            return json.load(answer)

    def press(self, url: str, page: str, button: str) -> tuple[str, str]:
        """Send the form of a page with one of its buttons, found by its text."""
        action = re.search(r'<form method="post" action="([^"]+)"', page)
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))
        for attributes, text in re.findall(r"<button([^>]*)>(.*?)</button>", page, re.DOTALL):
            if button in html.unescape(re.sub(r"<[^>]+>", " ", text)):
                named = dict(re.findall(r'(\w+)="([^"]*)"', attributes))
                hidden[named["name"]] = named["value"]
                break
        else:
            raise AssertionError(f"there is no button {button!r} on this page:\n{page}")
        assert action is not None
        data = urlencode({name: html.unescape(value) for name, value in hidden.items()}).encode()
        return self._page(Request(urljoin(url, html.unescape(action[1])), data))

    def command(self, url: str) -> tuple[str, Any]:
        """Send a command as the page does; its key and its answer."""
        key = str(uuid.uuid4())
        headers = {"X-BFF": "1", "Idempotency-Key": key, "Origin": SITE, "Content-Type": "application/json"}
        with self._opener.open(Request(url, b"{}", headers), timeout=GUARD) as answer:
            return key, json.load(answer)

    def values(self, name: str) -> Iterator[dict[str, Any]]:
        """The versions of a live value, as they come: the first one with the state, or after it."""
        stream = self._opener.open(f"{SITE}/bff/live?{urlencode({'value': name})}", timeout=GUARD)
        kind = ""
        for raw in stream:
            field, _, text = raw.decode().rstrip("\r\n").partition(": ")
            if field == "event":
                kind = text
            elif field == "data" and kind in ("snapshot", "reset"):
                yield from (value for value in json.loads(text)["values"] if value["name"] == name)
            elif field == "data" and kind == "value":
                yield json.loads(text)


def until(values: Iterator[dict[str, Any]], open_tickets: int) -> dict[str, Any]:
    return next(value for value in values if value["data"]["open"] == open_tickets)


def install(shell: Shell, lines: list[str]) -> None:
    for line in lines[: lines.index("bff dev")]:
        shell.run(line)


def walk(shell: Shell, second: Shell, lines: list[str]) -> int:
    """Everything from `bff dev` on; the number of commands until the page had shown all it has. shell: in the project's
    folder, with its environment."""
    shell.begin("bff dev", READY)
    at = lines.index("bff dev") + 1
    browser = Browser()
    _, page = browser.get(SITE)
    assert "<title>Help desk</title>" in page, page
    assert [one["id"] for one in browser.json(f"{SITE}/api/tickets")["tickets"]] == ["7", "8"]
    address, page = browser.get(f"{SITE}/bff/login?return=/")
    address, page = browser.press(address, page, "Ada Admin")
    assert address == f"{SITE}/", address
    assert browser.json(f"{SITE}/bff/user")["name"] == "Ada Admin"
    values = browser.values("desk/support")
    until(values, 2)
    key, closed = browser.command(f"{SITE}/api/tickets/7/close")
    assert closed["open"] is False
    assert until(values, 1)["mutations"] == [key]
    second.run(lines[at])
    assert lines[at].startswith("curl -X POST 'localhost:9001/tickets?")
    until(values, 2)
    return at + 1


def rest(second: Shell, lines: list[str]) -> None:
    """The commands after the first five minutes."""
    for line in lines:
        printed = second.run(line)
        if line == "curl localhost:8000/api/tickets/8":
            customer = json.loads(printed[printed.index("{") :])["customer"]
            assert (customer["state"], customer["owner"]["team"]) == ("missing", "Accounts"), printed
        if line == "python -m pytest":
            assert "4 passed" in printed, printed


def main(page: Path, folder: Path, part: str | None = None) -> None:
    began = time.monotonic()
    lines = commands(page.read_text(encoding="utf-8"))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("BFF_", "PYTHON"))}
    first = Shell(folder, env)
    second = Shell(folder, env)
    seconds = 0.0
    try:
        if part != "walk":
            install(first, lines)
        else:
            first.run(". .venv/bin/activate && cd help-desk")
        if part != "install":
            second.run(". .venv/bin/activate && cd help-desk")
            count = walk(first, second, lines)
            seconds = time.monotonic() - began
            if browser := os.environ.get("WALK_BROWSER"):
                subprocess.run([browser], check=True, timeout=GUARD)
            rest(second, lines[count:])
            print(json.dumps({"commands": count, "seconds": round(seconds, 1)}))
        else:
            print(json.dumps({"seconds": round(time.monotonic() - began, 1)}))
    finally:
        second.kill()
        first.kill()


def enter_own_network(page: str, folder: str) -> None:
    """Start this program again in a new network namespace; a user namespace lets others than root have one."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    os.execvp(
        "unshare", ["unshare", *user, "--net", sys.executable, __file__, page, folder, "walk", "--loopback"]
    )


def start_loopback() -> None:
    with socket.socket() as one:
        # SIOCSIFFLAGS: up, loopback, running (netdevice(7)).
        fcntl.ioctl(one, 0x8914, struct.pack("16sh", b"lo", 0x49))


if __name__ == "__main__":
    if sys.argv[3:] == ["walk-alone"]:
        enter_own_network(*sys.argv[1:3])
    if sys.argv[4:] == ["--loopback"]:
        start_loopback()
        del sys.argv[4:]
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
