"""The pages on identity providers: their settings can be read, and they say what the project decided."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bff.edge.settings import OidcSettings
from bff.edge.settings.gateway import load

from ..conftest import ROOT

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
