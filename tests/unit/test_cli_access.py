"""The command line on who may do what: listed, checked, revoked."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from bff.cli import main

MODULE = """
from pydantic import BaseModel
from bff import Gateway

class Done(BaseModel):
    done: bool

desk = Gateway("desk", scopes=("desk",))

@desk.view("/api/plain")
async def plain() -> Done: ...

@desk.view("/api/audit", scopes=("desk", "audit"), roles=("staff", "admin"))
async def audit() -> Done: ...

@desk.view("/api/open", public=True)
async def everyone() -> Done: ...

@desk.command("/api/close", scopes=())
async def close() -> Done: ...
"""

BAD = """
from pydantic import BaseModel
from bff import Gateway

class Done(BaseModel):
    done: bool

bad = Gateway("bad", roles="staff")

@bad.view("/api/both", public=True, scopes=("x",))
async def both() -> Done: ...

@bad.command("/api/odd", scopes=("a b",))
async def odd() -> Done: ...
"""

ISSUER = "https://issuer.test"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    name = f"cli_access_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / f"{name}_bad.py").write_text(BAD)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BFF_ISSUERS", f'[{{"issuer": "{ISSUER}", "audience": "desk"}}]')
    return name


def test_routes_says_what_each_route_needs(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["routes", f"{module}:desk"]) == 0
    blocks = capsys.readouterr().out.split("\n")
    needs = {
        line.split()[1]: blocks[number + 1].strip()
        for number, line in enumerate(blocks[:-1])
        if line.startswith(("GET", "POST"))
    }
    assert needs["/api/plain"] == "needs     the scope desk"
    assert needs["/api/audit"] == "needs     the scopes audit, desk and the role admin or staff"
    assert not needs["/api/open"].startswith("needs")
    assert "needs" not in "".join(blocks[-2:]), "a command that names none"


def test_check_names_declarations_that_make_no_sense(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"{module}_bad:bad"]) == 1
    said = capsys.readouterr().err
    assert "gateway bad: roles is a tuple of strings" in said
    assert "view /api/both: a public route cannot require the scope x" in said
    assert "command /api/odd: 'a b' in scopes holds characters that no scope has" in said


def test_check_names_a_scope_that_sign_in_never_asks_for(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"ISSUER": ISSUER, "CLIENT_ID": "bff", "CLIENT_SECRET": "s"}.items():
        monkeypatch.setenv(f"BFF_OIDC__{name}", value)
    monkeypatch.setenv("BFF_OIDC__SCOPES", '["openid", "desk"]')
    assert main(["check", f"{module}:desk"]) == 1
    assert "no browser session can have the scope 'audit'" in capsys.readouterr().err
    monkeypatch.setenv("BFF_OIDC__SCOPES", '["openid", "desk", "audit"]')
    assert main(["check", f"{module}:desk"]) == 0


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("http://desk.example.org", False),
        ("http://10.1.2.3:8000", False),
        ("http://localhost.example.org", False),
        ("https://desk.example.org", True),
        ("http://localhost:8000/desk", True),
        ("http://desk.localhost", True),
        ("http://127.0.0.2:8000", True),
        ("http://[::1]:8000", True),
    ],
)
def test_check_names_a_public_url_at_which_no_browser_can_sign_in(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, good: bool
) -> None:
    monkeypatch.setenv("BFF_PUBLIC_URL", url)
    assert main(["check", f"{module}:desk"]) == 0, "bearer tokens need no cookie"
    for name, value in {"ISSUER": ISSUER, "CLIENT_ID": "bff", "CLIENT_SECRET": "s"}.items():
        monkeypatch.setenv(f"BFF_OIDC__{name}", value)
    monkeypatch.setenv("BFF_OIDC__SCOPES", '["openid", "desk", "audit"]')
    assert main(["check", f"{module}:desk"]) == (0 if good else 1)
    assert (f"nobody can sign in at {url}" in capsys.readouterr().err) is not good


def test_check_names_an_issuer_whose_other_tokens_would_be_accepted(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    issuer = f'{{"issuer": "{ISSUER}", "audience": "desk", "profile": "jwt"}}'
    monkeypatch.setenv("BFF_ISSUERS", f"[{issuer}]")
    assert main(["check", f"{module}:desk"]) == 1
    said = capsys.readouterr()
    assert f"BFF_ISSUERS: issuer {ISSUER}: the profile jwt needs a mark" in said.out + said.err


def test_check_names_an_upstream_that_would_get_tokens_of_no_use_to_it(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BFF_ISSUERS", f'[{{"issuer": "{ISSUER}", "audience": "desk", "bound_only": true}}]')
    monkeypatch.setenv("BFF_UPSTREAMS__A__URL", "http://a.test")
    monkeypatch.setenv("BFF_UPSTREAMS__B__URL", "http://b.test")
    monkeypatch.setenv("BFF_UPSTREAMS__B__IDENTITY", "none")
    assert main(["check", f"{module}:desk"]) == 1
    said = capsys.readouterr()
    text = said.out + said.err
    assert f"BFF_UPSTREAMS__A__IDENTITY: user sends tokens of {ISSUER}" in text
    assert "BFF_UPSTREAMS__B__IDENTITY" not in text


def test_check_names_a_host_of_a_provider_that_nobody_reaches(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"ISSUER": ISSUER, "CLIENT_ID": "bff", "CLIENT_SECRET": "s"}.items():
        monkeypatch.setenv(f"BFF_PROVIDERS__STAFF__{name}", value)
    monkeypatch.setenv("BFF_PROVIDERS__STAFF__SCOPES", '["openid", "desk", "audit"]')
    monkeypatch.setenv("BFF_PROVIDERS__STAFF__HOSTS", '["staff.example.org:8443"]')
    for served, good in (('["desk.example.org"]', False), ('["*.example.org"]', True), ("[]", True)):
        monkeypatch.setenv("BFF_HTTP__HOSTS", served)
        assert main(["check", f"{module}:desk"]) == (0 if good else 1)
        said = capsys.readouterr().err
        assert ("BFF_PROVIDERS__STAFF__HOSTS: nobody reaches staff.example.org:8443" in said) is not good


def test_check_says_which_services_get_peoples_own_tokens(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    upstream = (
        "\nfrom bff import Upstream\n\nclass Shelf(Upstream, team='S', contact='#s'):\n    pass\n\n"
        "other = Gateway('other', upstreams=(Shelf(),))\n"
    )
    (tmp_path / f"{module}_more.py").write_text(MODULE + upstream)
    monkeypatch.setenv("BFF_UPSTREAMS__SHELF__URL", "http://127.0.0.1:1")
    assert main(["check", f"{module}_more:other"]) == 0
    assert "note:" not in capsys.readouterr().out, "nobody signs in here with a browser"
    for name, value in {"ISSUER": ISSUER, "CLIENT_ID": "bff", "CLIENT_SECRET": "s"}.items():
        monkeypatch.setenv(f"BFF_OIDC__{name}", value)
    assert main(["check", f"{module}_more:other"]) == 0
    assert "note: shelf: these services get each person's own access token" in capsys.readouterr().out
    monkeypatch.setenv("BFF_UPSTREAMS__SHELF__IDENTITY", "none")
    assert main(["check", f"{module}_more:other"]) == 0
    assert "note:" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["DEFAULT", "LOGIN", "FAILURES"])
@pytest.mark.parametrize("text", ["often", "", "0/minute", "10", "10/fortnight", "-1/minute"])
def test_check_names_a_limit_that_cannot_be_read(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    monkeypatch.setenv(f"BFF_LIMITS__{name}", text)
    assert main(["check", f"{module}:desk"]) == 1
    said = capsys.readouterr().err
    assert f"BFF_LIMITS__{name}: the limit {text!r} cannot be read; write it as 10/minute" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--issuer", "https://other.test", "--subject", "ada"],
            "is not in the settings, which have https://issuer.test",
        ),
        (["--issuer", ISSUER, "--token", "1", "--keep", "0"], "--keep: seconds above 0"),
        (["--issuer", ISSUER, "--token", "1", "--keep", "nan"], "--keep: seconds above 0"),
        (["--issuer", ISSUER, "--subject", "ada"], "Redis cannot be reached (BFF_REDIS__URL)"),
    ],
)
def test_a_revocation_that_cannot_be_says_why(
    module: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("BFF_REDIS__URL", f"redis://127.0.0.1:{nobody.getsockname()[1]}/0")
        assert main(["revoke", *arguments]) == 1
    assert said in capsys.readouterr().err


def test_a_revocation_names_either_a_token_or_a_person(module: str) -> None:
    for arguments in ([], ["--subject", "ada", "--token", "1"]):
        with pytest.raises(SystemExit) as caught:
            main(["revoke", "--issuer", ISSUER, *arguments])
        assert caught.value.code == 2
