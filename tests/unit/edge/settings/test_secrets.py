"""Secrets from files: what a file may hold, and what happens when it changes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bff.cli.settings_reference import all_settings
from bff.edge.settings import Settings, SettingsError, load
from bff.edge.settings.events import NatsSettings
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


FRONTEND = "BFF_HTTP__FRONTENDS__WEB__SECRETS"
FIRST, SECOND = "first-" + "a" * 30, "second-" + "b" * 30


def _everything(folder: Path) -> dict[str, tuple[Path, Callable[[Any], SecretStr], str]]:
    """By its path in the reference, for each setting that is a secret: its file, how it is read, and what is before the
    secret in it."""
    # Any: every section is there, which the types of Settings do not say.
    reads: dict[str, tuple[Callable[[Any], SecretStr], str]] = {
        "oidc.client_secret": (lambda one: one.oidc.client_secret, ""),
        "providers.<name>.client_secret": (lambda one: one.providers["staff"].client_secret, ""),
        "issuers[].introspection.client_secret": (lambda one: one.issuers[0].introspection.client_secret, ""),
        "http.frontends.<name>.secrets": (lambda one: one.http.frontends["web"].secrets[0], ""),
        "upstreams.<name>.headers": (lambda one: one.upstreams["cms"].headers["x-key"], ""),
        "upstreams.<name>.basic": (lambda one: one.upstreams["cms"].basic, "me:"),
        "webhooks.<name>.secret": (lambda one: one.webhooks["cms"].secret, ""),
        "events.<name>.secret": (lambda one: one.events["orders"].secret, ""),
        "live.nats.url": (lambda one: one.live.nats.url, "nats://me:"),
        "live.rabbitmq.url": (lambda one: one.live.rabbitmq.url, "amqp://me:"),
        "redis.password": (lambda one: one.redis.password, ""),
        "redis.sentinel_password": (lambda one: one.redis.sentinel_password, ""),
        "network.proxy_password": (lambda one: one.network.proxy_password, ""),
        "telemetry.headers": (lambda one: one.telemetry.headers["x-key"], ""),
    }
    return {
        path: (folder / str(number), read, before)
        for number, (path, (read, before)) in enumerate(reads.items())
    }


async def test_every_secret_of_the_reference_may_be_in_a_file_and_follows_it(tmp_path: Path) -> None:
    every = _everything(tmp_path)
    kinds = ("secret", "table of secret", "list of secret")
    assert {one.path for one in all_settings() if one.type in kinds} == every.keys()

    def write(secret: str) -> None:
        for path, (file, _, before) in every.items():
            host = "@broker.test" if path.endswith(".url") else ""
            written(file, f"{before}{secret}{host}\n")

    def file(path: str) -> str:
        return str(every[path][0])

    write(FIRST)
    introspection = {
        "client_id": "bff",
        "client_secret_file": file("issuers[].introspection.client_secret"),
    }
    trusted = {"issuer": "https://id.test", "audience": "shop", "introspection": introspection}
    settings = load(
        {
            **OIDC,
            FILE: file("oidc.client_secret"),
            "BFF_PROVIDERS__STAFF__ISSUER": "https://staff.test",
            "BFF_PROVIDERS__STAFF__CLIENT_ID": "bff",
            "BFF_PROVIDERS__STAFF__CLIENT_SECRET_FILE": file("providers.<name>.client_secret"),
            "BFF_ISSUERS": json.dumps([trusted]),
            f"{FRONTEND}_FILE": file("http.frontends.<name>.secrets"),
            "BFF_HTTP__FRONTENDS__WEB__NETWORKS": '["10.0.0.0/8"]',
            "BFF_UPSTREAMS__CMS__URL": "https://cms.test",
            "BFF_UPSTREAMS__CMS__IDENTITY": "none",
            "BFF_UPSTREAMS__CMS__BASIC_FILE": file("upstreams.<name>.basic"),
            "BFF_UPSTREAMS__CMS__HEADERS": json.dumps({"x-key_file": file("upstreams.<name>.headers")}),
            "BFF_WEBHOOKS__CMS__SECRET_FILE": file("webhooks.<name>.secret"),
            "BFF_EVENTS__ORDERS__SECRET_FILE": file("events.<name>.secret"),
            "BFF_LIVE__NATS__URL_FILE": file("live.nats.url"),
            "BFF_LIVE__NATS__STREAM": "S",
            "BFF_LIVE__RABBITMQ__URL_FILE": file("live.rabbitmq.url"),
            "BFF_LIVE__RABBITMQ__QUEUES": '["q"]',
            "BFF_REDIS__PASSWORD_FILE": file("redis.password"),
            "BFF_REDIS__SENTINEL_PASSWORD_FILE": file("redis.sentinel_password"),
            "BFF_NETWORK__PROXY": "http://proxy.test",
            "BFF_NETWORK__PROXY_USERNAME": "me",
            "BFF_NETWORK__PROXY_PASSWORD_FILE": file("network.proxy_password"),
            "BFF_TELEMETRY__HEADERS__X-KEY_FILE": file("telemetry.headers"),
        }
    )

    def without(secret: str) -> list[str]:
        return [
            path for path, (_, read, _) in every.items() if secret not in read(settings).get_secret_value()
        ]

    assert without(FIRST) == []
    assert settings.secret_files is not None
    write(SECOND)
    await settings.secret_files.watch.check()
    assert without(SECOND) == []
    assert "second-" not in repr(settings) + settings.model_dump_json()


async def test_the_section_that_a_broker_gets_follows_the_file(tmp_path: Path) -> None:
    file = tmp_path / "nats"
    written(file, "nats://me:first@nats.test")
    settings = load({"BFF_LIVE__NATS__URL_FILE": str(file), "BFF_LIVE__NATS__STREAM": "S"})
    assert settings.live.nats is not None and settings.secret_files is not None
    section = NatsSettings.model_validate(settings.live.nats.model_dump())
    assert section.url.get_secret_value() == "nats://me:first@nats.test"
    written(file, "nats://me:second@nats.test")
    await settings.secret_files.watch.check()
    assert section.url.get_secret_value() == "nats://me:second@nats.test"


@pytest.mark.parametrize("count", [1, 2])
async def test_a_list_of_secrets_has_a_file_for_each(tmp_path: Path, count: int) -> None:
    files = [tmp_path / name for name in "ab"[:count]]
    for file in files:
        written(file, FIRST)
    settings = load(
        {
            f"{FRONTEND}_FILE": json.dumps([str(file) for file in files]),
            "BFF_HTTP__FRONTENDS__WEB__NETWORKS": '["10.0.0.0/8"]',
        }
    )
    assert settings.secret_files is not None

    def secrets() -> list[str]:
        return [one.get_secret_value() for one in settings.http.frontends["web"].secrets]

    assert secrets() == [FIRST] * count
    written(files[0], SECOND)
    await settings.secret_files.watch.check()
    assert secrets() == [SECOND, FIRST][:count]
    written(files[0], "short")
    await settings.secret_files.watch.check()
    assert secrets() == [SECOND, FIRST][:count], "one that no frontend may have is not used"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[]", f"{FRONTEND}_FILE: must be the path of a file, or a JSON list of paths"),
        ("[1]", f"{FRONTEND}_FILE: must be the path of a file, or a JSON list of paths"),
        ('["/no/such/file"]', f"{FRONTEND}_FILE: /no/such/file: No such file or directory"),
        ("/no/such/file", f"{FRONTEND}_FILE: /no/such/file: No such file or directory"),
    ],
)
def test_files_of_a_list_that_cannot_be_used_are_named_with_the_cure(given: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load({f"{FRONTEND}_FILE": given, "BFF_HTTP__FRONTENDS__WEB__NETWORKS": '["10.0.0.0/8"]'})
    assert said in raised.value.mistakes[0]


def test_a_list_of_secrets_and_its_files_are_not_both_set(tmp_path: Path) -> None:
    given = {f"{FRONTEND}_FILE": written(tmp_path / "s", FIRST), FRONTEND: json.dumps([SECOND])}
    with pytest.raises(SettingsError, match=f"{FRONTEND}_FILE: {FRONTEND} is set, too; set one of the two"):
        load({**given, "BFF_HTTP__FRONTENDS__WEB__NETWORKS": '["10.0.0.0/8"]'})


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
