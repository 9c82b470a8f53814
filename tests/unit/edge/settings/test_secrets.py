"""Secrets from files: what a file may hold, and what happens when it changes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bff.edge.settings import Settings, SettingsError, load
from bff.edge.settings.secrets import MAX_BYTES

OIDC = {"BFF_OIDC__ISSUER": "https://id.test", "BFF_OIDC__CLIENT_ID": "bff"}
FILE = "BFF_OIDC__CLIENT_SECRET_FILE"


def written(path: Path, data: bytes | str) -> str:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


def secret(settings: Settings) -> str:
    assert settings.oidc is not None
    return settings.oidc.client_secret.get_secret_value()


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("hush", "hush"),
        ("hush\n", "hush"),
        ("hush\r\n", "hush"),
        (" hush ", " hush "),
        ('{"a": 1}', '{"a": 1}'),
        ("[1]\n", "[1]"),
        ('"quoted"', '"quoted"'),
        ("päss %2F#?/@:\n", "päss %2F#?/@:"),
    ],
)
def test_the_secret_is_the_content_without_one_line_end(tmp_path: Path, content: str, value: str) -> None:
    settings = load({**OIDC, FILE: written(tmp_path / "secret", content)})
    assert secret(settings) == value
    assert value not in repr(settings) + settings.model_dump_json()


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "No such file or directory; name a file that this process can read"),
        (_folder, "is not a file; name the file that holds the secret"),
        (os.mkfifo, "is not a file"),
        (lambda path: path.write_text(""), "is empty; write the secret into it"),
        (lambda path: path.write_text("\n"), "is empty"),
        (lambda path: path.write_text("hush\n\n"), "holds a line end or another control character"),
        (lambda path: path.write_text("hu\nsh\n"), "holds a line end"),
        (lambda path: path.write_bytes(b"hush\x00"), "control character"),
        (lambda path: path.write_bytes(b"\xef\xbb\xbfhush"), "begins with a byte order mark"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "is not written in UTF-8"),
        (lambda path: path.write_bytes(b"x" * (MAX_BYTES + 1)), "has more than 65,536 bytes"),
    ],
)
def test_a_file_that_holds_no_secret_is_named_with_the_cure(
    tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    path = tmp_path / "secret"
    make(path)
    with pytest.raises(SettingsError) as raised:
        load({**OIDC, FILE: str(path), "BFF_PORT": "x"})
    assert len(raised.value.mistakes) == 2, "the other mistake is reported, too"
    (mistake,) = [one for one in raised.value.mistakes if one.startswith(f"{FILE}: {path}")]
    assert said in mistake and "hush" not in mistake


def test_a_file_that_this_process_may_not_read_is_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, *args: object, **options: object) -> object:
        raise PermissionError(13, "Permission denied")

    path = written(tmp_path / "secret", "hush")
    # A process of root may read every file.
    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(SettingsError, match="Permission denied; name a file that this process can read"):
        load({**OIDC, FILE: path})


def test_a_secret_and_its_file_are_not_both_set(tmp_path: Path) -> None:
    path = written(tmp_path / "secret", "hush")
    with pytest.raises(
        SettingsError, match=f"{FILE}: BFF_OIDC__CLIENT_SECRET is set, too; set one of the two"
    ):
        load({**OIDC, FILE: path, "BFF_OIDC__CLIENT_SECRET": "other"})


def test_what_is_no_secret_has_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="BFF_OIDC__CLIENT_ID_FILE: is not a known setting"):
        load({**OIDC, FILE: written(tmp_path / "s", "hush"), "BFF_OIDC__CLIENT_ID_FILE": "x"})


def test_every_kind_of_secret_may_be_in_a_file_in_the_environment_in_toml_and_in_json(tmp_path: Path) -> None:
    def file(name: str, value: str) -> str:
        return written(tmp_path / name, value)

    toml = tmp_path / "bff.toml"
    toml.write_text(f'[upstreams.cms.headers]\nx-key_file = "{file("toml", "from-toml")}"\n')
    settings = load(
        {
            "BFF_SETTINGS": str(toml),
            "BFF_UPSTREAMS__CMS__URL": "https://cms.test",
            "BFF_UPSTREAMS__CMS__IDENTITY": "none",
            "BFF_UPSTREAMS__CMS__BASIC_FILE": file("basic", "ada:from-basic"),
            "BFF_WEBHOOKS": json.dumps({"cms": {"secret_file": file("hook", "x" * 24)}}),
            "BFF_LIVE__NATS__URL_FILE": file("nats", "nats://me:from-nats@nats.test"),
            "BFF_LIVE__NATS__STREAM": "S",
            "BFF_NETWORK__PROXY": "http://proxy.test",
            "BFF_NETWORK__PROXY_USERNAME": "me",
            "BFF_NETWORK__PROXY_PASSWORD_FILE": file("proxy", "from-proxy"),
        }
    )
    cms = settings.upstreams["cms"]
    assert dict(cms.constant_headers) == {
        "x-key": "from-toml",
        "authorization": "Basic YWRhOmZyb20tYmFzaWM=",
    }
    assert settings.webhooks["cms"].secret.get_secret_value() == "x" * 24
    assert settings.live.nats is not None
    assert settings.live.nats.url.get_secret_value() == "nats://me:from-nats@nats.test"
    assert settings.network.proxy_password is not None
    assert settings.network.proxy_password.get_secret_value() == "from-proxy"
    assert "from-" not in repr(settings) + repr(cms.constant_headers)


@pytest.mark.parametrize("value", ['["a"]', "{}", '{"a": 1}', "[", "123"])
def test_a_secret_that_looks_like_json_is_a_secret(value: str) -> None:
    assert secret(load({**OIDC, "BFF_OIDC__CLIENT_SECRET": value})) == value


async def test_a_changed_file_is_followed_and_one_that_cannot_be_used_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    oidc, hook = tmp_path / "oidc", tmp_path / "hook"
    written(oidc, "first"), written(hook, "x" * 24)
    environ = {**OIDC, FILE: str(oidc), "BFF_WEBHOOKS__CMS__SECRET_FILE": str(hook)}
    settings = load(environ)
    files = settings.secret_files
    assert files is not None
    same = settings.model_copy()
    await files.watch.check()
    assert secret(settings) == "first"
    written(oidc, "second\n")
    await files.watch.check()
    assert secret(settings) == secret(same) == "second"
    # Too short for a webhook: nothing of this change is used, and the log says why without the secret.
    written(oidc, "third-one"), written(hook, "short-one")
    await files.watch.check()
    assert secret(settings) == "second"
    assert settings.webhooks["cms"].secret.get_secret_value() == "x" * 24
    why = json.dumps([vars(record) for record in caplog.records], default=str)
    assert "BFF_WEBHOOKS__CMS__SECRET: must have at least 24" in why or "at least 24" in why
    assert "short-one" not in why and "third-one" not in why
    oidc.unlink()
    written(hook, "y" * 24)
    await files.watch.check()
    assert secret(settings) == "second", "a file that is away for a moment"
    written(oidc, "fourth")
    await files.watch.check()
    assert (secret(settings), settings.webhooks["cms"].secret.get_secret_value()) == ("fourth", "y" * 24)


async def test_a_volume_that_is_replaced_through_a_link_is_followed(tmp_path: Path) -> None:
    """As Kubernetes writes secrets: a link `..data` leads to the folder with the current content."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        written(tmp_path / version / "secret", version)
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "secret").symlink_to("..data/secret")
    settings = load({**OIDC, FILE: str(tmp_path / "secret")})
    assert secret(settings) == "one" and settings.secret_files is not None
    (tmp_path / "..new").symlink_to("two")
    (tmp_path / "..new").rename(tmp_path / "..data")
    await settings.secret_files.watch.check()
    assert secret(settings) == "two"
