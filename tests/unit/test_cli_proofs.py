"""`bff check` and the start name what is wrong with keys and certificates, by the variable to correct."""

from __future__ import annotations

from pathlib import Path

import pytest

from bff import DeclarationError, Gateway
from bff.cli import main
from bff.edge.settings import Settings, load
from bff.edge.signing_keys import rotate

from ..wire.authority import Authority

SHELF = """
from bff import Call, Gateway, Upstream

class Shelf(Upstream, team="Shelf team", contact="#shelf"):
    def thing(self) -> Call[dict]:
        return self.get("/thing", dict)

shelf = Shelf()
app = Gateway("proofs", upstreams=(shelf,))
"""
UPSTREAM = "BFF_UPSTREAMS__SHELF"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "proofs_module.py").write_text(SHELF)
    inside, other = Authority(tmp_path, "inside"), Authority(tmp_path, "other")
    inside.pair("mine")
    other.pair("foreign")
    inside.pair("locked", password=b"secret")
    rotate(tmp_path / "keys.pem")
    (tmp_path / "empty").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"{UPSTREAM}__URL", "https://shelf.test")
    return tmp_path


GOOD = {
    f"{UPSTREAM}__TLS__CERT": "mine.crt",
    f"{UPSTREAM}__TLS__KEY": "mine.key",
    f"{UPSTREAM}__TLS__CA": "inside.pem",
    f"{UPSTREAM}__IDENTITY": "internal",
    "BFF_INTERNAL__KEYS": "keys.pem",
}
WRONG = [
    ({f"{UPSTREAM}__URL": "http://shelf.test"}, f"{UPSTREAM}: tls is set, but http://shelf.test is not"),
    ({f"{UPSTREAM}__BALANCE__URLS": '["http://b.test"]'}, "tls is set, but http://b.test is not https://"),
    ({f"{UPSTREAM}__TLS__KEY": None}, f"{UPSTREAM}__TLS: cert and key go together"),
    ({f"{UPSTREAM}__TLS__CERT": "nothing.crt"}, f"{UPSTREAM}__TLS: nothing.crt: No such file or directory"),
    ({f"{UPSTREAM}__TLS__KEY": "foreign.key"}, f"{UPSTREAM}__TLS: foreign.key is not the key of mine.crt"),
    (
        {f"{UPSTREAM}__TLS__CERT": "locked.crt", f"{UPSTREAM}__TLS__KEY": "locked.key"},
        f"{UPSTREAM}__TLS: locked.crt and locked.key are not a certificate and its unencrypted key",
    ),
    ({f"{UPSTREAM}__TLS__CA": "empty"}, f"{UPSTREAM}__TLS: empty contains no certificate of an authority"),
    ({f"{UPSTREAM}__TLS__LOOK": "0"}, f"{UPSTREAM}__TLS__LOOK"),
    ({"BFF_INTERNAL__KEYS": None}, f"{UPSTREAM}__IDENTITY: internal needs keys to sign with; set BFF_INTERNAL__KEYS"),
    ({"BFF_INTERNAL__KEYS": "empty"}, "BFF_INTERNAL__KEYS: empty holds 0 private keys"),
    ({"BFF_INTERNAL__KEYS": "mine.key"}, "BFF_INTERNAL__KEYS: mine.key holds a key of another kind than Ed25519"),
    ({"BFF_INTERNAL__LIFETIME": "61"}, "BFF_INTERNAL__LIFETIME: must be at most 60, not 61"),
    ({f"{UPSTREAM}__IDENTITY": "theirs"}, f"{UPSTREAM}__IDENTITY: must be 'user', 'internal'"),
]  # fmt: skip


def test_good_ones_need_no_word(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    assert main(["check", "proofs_module:app"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(("changes", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_wrong_one_is_named_with_what_to_correct_and_nothing_starts(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str | None],
    said: str,
) -> None:
    for name, value in {**GOOD, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert main(["check", "proofs_module:app"]) == 1
    assert said in capsys.readouterr().err
    assert main(["serve", "proofs_module:app"]) == 1
    assert said in capsys.readouterr().err


async def test_any_asgi_server_is_told_too(folder: Path) -> None:
    settings: Settings = load(
        {f"{UPSTREAM}__URL": "https://shelf.test", f"{UPSTREAM}__TLS__CA": "empty"},
    )
    with pytest.raises(DeclarationError, match=f"{UPSTREAM}__TLS: empty contains no certificate"):
        await Gateway("mounted").start(settings)
