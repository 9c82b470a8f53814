from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from bff import DeclarationError
from bff.edge.settings import load
from bff.edge.settings.upstream import UpstreamSettings


def test_defaults_need_no_environment() -> None:
    settings = load({})
    assert settings.port == 8000
    assert settings.upstreams == {}


def test_sections_come_from_double_underscores_and_lists_from_json() -> None:
    settings = load(
        {
            "BFF_UPSTREAMS__CATALOG__URL": "http://catalog:80/",
            "BFF_UPSTREAMS__CATALOG__BREAKER__FAILURES": "3",
            "BFF_LIVE__STREAM_KEYS": '["events:orders:{p}"]',
        }
    )
    assert settings.upstreams["catalog"].url == "http://catalog:80"
    assert settings.upstreams["catalog"].breaker.failures == 3
    assert settings.live.stream_keys == ("events:orders:{p}",)


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(DeclarationError) as raised:
        load({"BFF_PROT": "1", "BFF_PORT": "99999", "BFF_UPSTREAMS__CATALOG__URL": "ftp://x"})
    text = str(raised.value)
    assert "BFF_PROT: is not a known setting" in text
    assert "BFF_PORT" in text
    assert "BFF_UPSTREAMS__CATALOG__URL" in text


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "bff.toml"
    file.write_text('port = 1234\nhost = "0.0.0.0"\n')
    settings = load({"BFF_SETTINGS": str(file), "BFF_PORT": "4321"})
    assert (settings.port, settings.host) == (4321, "0.0.0.0")


def test_a_missing_or_malformed_file_is_named_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="nowhere"):
        load({"BFF_SETTINGS": str(tmp_path / "nowhere.toml")})
    broken = tmp_path / "broken.toml"
    broken.write_text("port =")
    with pytest.raises(DeclarationError, match="not TOML"):
        load({"BFF_SETTINGS": str(broken)})


def test_a_session_shorter_than_its_streams_is_a_mistake_that_names_both_settings() -> None:
    shorter = {"BFF_SESSION__IDLE": "300"}
    assert load(shorter).session.idle == 300, "without sign-in there are no sessions"
    browsers = shorter | {
        "BFF_OIDC__ISSUER": "https://id.example",
        "BFF_OIDC__CLIENT_ID": "bff",
        "BFF_OIDC__CLIENT_SECRET": "hush-hush",
    }
    with pytest.raises(DeclarationError, match=r"\n  BFF_SESSION__IDLE \(300 s\) .* BFF_LIVE__AGE \(600 s\)"):
        load(browsers)
    assert load(browsers | {"BFF_LIVE__AGE": "300"}).live.age == 300


def test_a_secret_is_not_shown_when_settings_are_printed() -> None:
    settings = load(
        {
            "BFF_OIDC__ISSUER": "https://id.example",
            "BFF_OIDC__CLIENT_ID": "bff",
            "BFF_OIDC__CLIENT_SECRET": "hush-hush",
        }
    )
    assert "hush-hush" not in repr(settings)


def test_constant_headers_of_an_upstream_are_secrets_and_fit_its_identity() -> None:
    cms = UpstreamSettings(
        url="http://cms", identity="none", headers={"X-Api-Key": "hunter2"}, basic="ada:hunter2"
    )
    assert cms.constant_headers == {"x-api-key": "hunter2", "authorization": "Basic YWRhOmh1bnRlcjI="}
    assert "hunter2" not in repr(cms) + cms.model_dump_json()
    for wrong, why in (
        ({"basic": "ada:x"}, "set identity to none"),
        ({"headers": {"authorization": "x"}}, "set identity to none"),
        ({"identity": "none", "basic": "ada"}, "basic is user:password"),
        ({"identity": "none", "basic": "a:b", "headers": {"authorization": "x"}}, "two credentials"),
        ({"headers": {"host": "x"}}, "host is set by the gateway"),
        (
            {"headers": {"x-a": b"a\\r\\nb: c".decode("unicode_escape")}},
            "characters that headers cannot have",
        ),
        ({"headers": {"a b": "x"}}, "a header is one name"),
    ):
        with pytest.raises(ValidationError, match=why):
            UpstreamSettings.model_validate({"url": "http://cms"} | wrong)
