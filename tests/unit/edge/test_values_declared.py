"""A declared value is public, or names its owner."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from bff import DeclarationError, Gateway


class Bell(BaseModel):
    unread: int


@pytest.mark.parametrize("template", ["bell", "bell/{who}", "bell/{owner}/{owner}"])
def test_a_private_value_names_its_owner_once(template: str) -> None:
    with pytest.raises(DeclarationError, match=r"public=True, or one \{owner\} in it"):
        Gateway("shop").value(template, Bell)


def test_a_value_with_an_owner_is_private_by_default() -> None:
    shop = Gateway("shop")
    assert not shop.value("bell/{owner}", Bell).public
    assert shop.value("level/{sku}", Bell, public=True).public
