"""What a declared value must say: that it is for all, or whose it is."""

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


def test_a_value_is_public_or_somebodys() -> None:
    shop = Gateway("shop")
    assert not shop.value("bell/{owner}", Bell).public
    assert shop.value("level/{sku}", Bell, public=True).public
