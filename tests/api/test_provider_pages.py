"""The pages on identity providers: their settings can be read, and they say what the project decided."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from bff.edge.settings import OidcSettings
from bff.edge.settings.gateway import load

from ..conftest import ROOT

KEYCLOAK = ROOT / "tests" / "wire" / "keycloak"
PAGES = sorted((ROOT / "docs" / "how-to" / "providers").glob("*.md"))
GIVES_REFRESH_TOKENS = {"keycloak", "cognito"}
"""Providers that give a refresh token without `offline_access`."""


def settings_of(page: Path) -> OidcSettings:
    """The settings block of a page, as a gateway reads it."""
    section = page.read_text(encoding="utf-8").partition("## Browser sign-in")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.S)
    environment = dict(shlex.split(line)[0].split("=", 1) for line in block.splitlines())
    oidc = load(environment | {"BFF_SESSION__IDLE": "3600"}).oidc
    assert oidc is not None
    return oidc


def test_every_common_provider_has_a_page() -> None:
    names = {"auth0", "cognito", "entra", "keycloak", "oidc-provider", "okta"}
    assert {page.stem for page in PAGES} >= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_settings_of_a_page_can_be_read(page: Path) -> None:
    oidc = settings_of(page)
    assert oidc.issuer.startswith("https://") and "openid" in oidc.scopes
    assert ("offline_access" not in oidc.scopes) == (page.stem in GIVES_REFRESH_TOKENS)


def test_keycloak_puts_roles_into_the_access_token_alone() -> None:
    oidc = settings_of(ROOT / "docs" / "how-to" / "providers" / "keycloak.md")
    assert oidc.roles_in == "access_token"
    assert oidc.roles == ("realm_access.roles", "resource_access.{client}.roles")


def realm() -> dict[str, Any]:
    """The realm with which the page of Keycloak is tried."""
    found: dict[str, Any] = json.loads((KEYCLOAK / "realm.json").read_text())
    return found


def test_the_browser_client_of_the_realm_that_is_tried_is_that_of_the_page() -> None:
    text = (ROOT / "docs" / "how-to" / "providers" / "keycloak.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([A-Z].+?) \| (.+) \|$", text, re.M))
    [client] = [one for one in realm()["clients"] if f"`{one['clientId']}`" == rows["Client ID"]]
    site = "https://desk.example.org"
    tried = json.loads(json.dumps(client).replace("${SITE}", site))
    assert not tried["publicClient"] and tried["standardFlowEnabled"]
    assert not tried["directAccessGrantsEnabled"] and "serviceAccountsEnabled" not in tried
    assert [f"`{one}`" for one in tried["redirectUris"]] == [rows["Valid redirect URIs"]]
    of_page = {
        "pkce.code.challenge.method": rows["PKCE method"],
        "post.logout.redirect.uris": rows["Valid post logout redirect URIs"],
        "backchannel.logout.url": rows["Backchannel logout URL"],
        "backchannel.logout.session.required": "`true`",
    }
    assert {name: f"`{value}`" for name, value in tried["attributes"].items()} == of_page


def test_the_scope_of_the_api_in_the_realm_that_is_tried_is_that_of_the_page() -> None:
    text = (ROOT / "docs" / "how-to" / "providers" / "keycloak.md").read_text(encoding="utf-8")
    [audience] = re.findall(
        r"\*Audience\*, Included Client Audience `(.+?)`, Add to ID token off, Add to access token on", text
    )
    assert f'"audience": "{audience}"' in text
    scopes = json.loads((KEYCLOAK / "scopes.json").read_text())
    [made] = [one for one in scopes if one["scope"]["name"] == audience]
    assert "desk-cli" in made["default"]
    [mapper] = made["scope"]["protocolMappers"]
    assert mapper["protocolMapper"] == "oidc-audience-mapper"
    assert mapper["config"] == {"included.client.audience": audience, "access.token.claim": "true"}
    [api] = [one for one in realm()["clients"] if one["clientId"] == audience]
    flows = ("standardFlowEnabled", "directAccessGrantsEnabled", "serviceAccountsEnabled")
    assert not any(api.get(flow, False) for flow in flows)
