"""The pages about access tokens: the closed list of reasons is that of the code, and the settings of each provider's
page accept the tokens that this provider issues."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from bff.edge.access.jwt import TokenVerifier
from bff.edge.access.profiles import issuer_mistakes
from bff.edge.problem import Problem
from bff.edge.settings import IssuerSettings, load
from bff.policies.token_profiles import PROFILES
from bff.policies.tokens import Reason

from ..conftest import ROOT
from ..unit.edge.access.hostile import KEY_SET, RSA
from ..unit.edge.access.issuing import Clocks, Served, sign
from ..unit.edge.access.provider_tokens import ALL, Provider

PROVIDERS = ROOT / "docs" / "how-to" / "providers"


def blocks(page: str) -> Iterator[tuple[IssuerSettings, ...]]:
    """The issuers of each block of settings on a page."""
    text = (PROVIDERS / f"{page}.md").read_text(encoding="utf-8")
    for value in re.findall(r"^BFF_ISSUERS='(.*?)'$", text, re.M | re.S):
        assert json.loads(value)
        yield load({"BFF_ISSUERS": value}).issuers


def test_the_list_of_reasons_is_that_of_the_code() -> None:
    text = (ROOT / "docs" / "reference" / "token-reasons.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z0-9-]+)` \| (.+) \|$", text, re.M)
    assert listed == [(one.code, one.text) for one in Reason]


def test_the_table_of_profiles_names_each_of_them() -> None:
    text = (ROOT / "docs" / "access.md").read_text(encoding="utf-8")
    section = text.partition("### Profiles")[2].partition("\n### ")[0]
    for name, profile in PROFILES.items():
        [row] = re.findall(rf"^\| `{name}`.*$", section, re.M)
        for claim in (*profile.scope_claims, *profile.roles):
            assert f"`{claim}`" in row


@pytest.mark.parametrize("page", sorted(path.stem for path in PROVIDERS.glob("*.md")))
def test_every_block_of_settings_can_be_used(page: str) -> None:
    found = list(blocks(page))
    assert found
    for issuers in found:
        assert issuer_mistakes(issuers) == []


def _page(provider: Provider) -> tuple[str, int]:
    name, _, version = provider.name.partition(" ")
    return name, 1 if version == "v1" else 0


DOCUMENTED = [one for one in ALL if one.name not in ("rfc9068", "jwt")]


@pytest.mark.parametrize("provider", DOCUMENTED, ids=[one.name for one in DOCUMENTED])
async def test_the_documented_settings_accept_the_providers_access_tokens_and_no_others(
    provider: Provider,
) -> None:
    page, number = _page(provider)
    [settings] = list(blocks(page))[number]
    keys = "https://keys.test"
    verifier = TokenVerifier(
        [settings.model_copy(update={"jwks_uri": keys})], Served({keys: KEY_SET}), Clocks(), Clocks()
    )
    for claims in (provider.claims, *provider.others.values()):
        assert await verifier.verify(sign(RSA, claims, alg="RS256", kid="rsa", typ=provider.typ))
    for name, kind in provider.kinds.items():
        with pytest.raises(Problem) as caught:
            await verifier.verify(sign(RSA, kind.claims, alg="RS256", kid="rsa", typ=kind.typ))
        assert caught.value.status == 401, name
