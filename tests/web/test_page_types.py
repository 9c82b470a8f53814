"""The page is checked against the gateway's description: `make check` finds a field that does not exist, in the page's
code or in a command, a screen or an order that has changed."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bff import __version__
from bff.edge.describe import openapi
from tests.conftest import ROOT
from web.shop.gateway import shop

CLIENT = ROOT / "web/client"
TOOLS = CLIENT / "node_modules/.bin"
Schema = dict[str, Any]


def complaints(folder: Path) -> list[str]:
    """The compiler's errors about the page in `folder`, a line each. It caches its results there for the next run in
    this folder or a copy."""
    command = [
        TOOLS / "tsc",
        "-p",
        folder / "shop/page",
        "--incremental",
        "--tsBuildInfoFile",
        folder / "seen",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    return [line for line in ran.stdout.splitlines() if ": error TS" in line]


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page beside the client, in the real layout; the compiler finds no error in it."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(ROOT / "web/shop/page", folder / "shop/page")
    shutil.copytree(CLIENT, folder / "client", ignore=shutil.ignore_patterns("node_modules", "types"))
    described(lambda document: None, folder)
    assert complaints(folder) == []
    return folder


@pytest.fixture
def copied(right: Path, tmp_path: Path) -> Path:
    return shutil.copytree(right, tmp_path / "page")


def described(change: Callable[[Schema], None], folder: Path) -> None:
    """Generate the page's types from a changed description, as `make openapi` does."""
    document = copy.deepcopy(openapi.document(shop, __version__))
    change(document)
    (folder / "openapi.json").write_text(json.dumps(document))
    command = [TOOLS / "openapi-typescript", folder / "openapi.json", "--alphabetize", "-o"]
    types = folder / "shop/page/gateway.d.ts"
    subprocess.run([*command, types], capture_output=True, timeout=600, check=True)


WRONG_IN_THE_PAGE = {
    "a command's field": (
        "live.js",
        "({ sku, quantity, price_cents }))",
        "({ sku, amount: quantity, price_cents }))",
    ),
    "a command's parameter": ("live.js", "cancel', { id }", "cancel', { order: id }"),
    "a command that does not exist": ("live.js", "'/api/notifications/read'", "'/api/notification/read'"),
    "a value's data": ("live.js", "stock.available - quantity", "stock.left - quantity"),
    "an order's data": ("order-row.js", "order.data.total_cents", "order.data.total"),
    "a screen's field": ("views/product.js", "item.price_cents", "item.price"),
    "a text that another language lacks": (
        "texts.de.js",
        "few: 'Nur noch {left}'",
        "fewer: 'Nur noch {left}'",
    ),
    "a placeholder that a text does not have": ("stock.js", "{ left: left ?? 0 }", "{ count: left ?? 0 }"),
    "a step that no order has": (
        "texts.en.js",
        "reserve: 'Setting items aside'",
        "hold: 'Setting items aside'",
    ),
}
# A change of the description, and the places where the page must fail to compile.
CHANGED: dict[str, tuple[str, Callable[[Schema], Any]]] = {
    "a command takes another field": (
        "live.js",
        lambda schemas: schemas["Line"].update(
            required=["sku", "amount"], properties={"sku": {"type": "string"}, "amount": {"type": "integer"}}
        ),
    ),
    "a command's answer no longer names its saga": (
        "shapes.d.ts",
        lambda schemas: schemas["started.order"]["properties"].update(saga={"type": "object"}),
    ),
    "an order's data has lost a field": (
        "order-row.js",
        lambda schemas: schemas["OrderData"]["properties"].pop("total_cents"),
    ),
    "an order has a step without a text on the page": (
        "words.js",
        lambda schemas: schemas["Step"]["enum"].append("wrap"),
    ),
}


def test_the_types_of_the_page_match_the_current_description(right: Path) -> None:
    made, kept = (folder / "shop/page/gateway.d.ts" for folder in (right, ROOT / "web"))
    assert made.read_text() == kept.read_text()


def test_a_mistake_in_the_page_is_found_on_its_line(copied: Path) -> None:
    for file, right, wrong in WRONG_IN_THE_PAGE.values():
        path = copied / "shop/page" / file
        text = path.read_text()
        assert right in text, right
        path.write_text(text.replace(right, wrong, 1))
    found = "\n".join(complaints(copied))
    unseen = [
        what
        for what, (file, _, wrong) in WRONG_IN_THE_PAGE.items()
        if not _line_of(copied / "shop/page" / file, wrong) & _lines_named(found, file)
    ]
    assert unseen == []


def _line_of(path: Path, text: str) -> set[int]:
    """The line of the first occurrence and the one before it, where a statement may have begun."""
    at = path.read_text().partition(text)[0].count("\n") + 1
    return {at - 1, at}


def _lines_named(found: str, file: str) -> set[int]:
    return {
        int(line.partition("(")[2].partition(",")[0])
        for line in found.splitlines()
        if line.partition("(")[0].endswith(file)
    }


def test_a_changed_description_is_an_error_in_the_page(copied: Path) -> None:
    def change(document: Schema) -> None:
        for _, one in CHANGED.values():
            one(document["components"]["schemas"])

    described(change, copied)
    found = complaints(copied)
    assert [
        what for what, (file, _) in CHANGED.items() if not any(f"/{file}(" in line for line in found)
    ] == []
