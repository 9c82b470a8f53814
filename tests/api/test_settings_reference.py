"""`bff settings` lists every setting, and docs/reference/settings.md is what it prints."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel, Field

from bff.cli.main import main
from bff.cli.settings_reference import Setting, all_settings
from bff.edge.settings import Settings

from ..conftest import ROOT

ALL = list(all_settings())


def test_the_page_equals_the_output_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings"]) == 0
    printed = capsys.readouterr().out
    written = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert written == printed, "run: bff settings > docs/reference/settings.md"


def test_every_field_of_every_model_is_listed() -> None:
    listed = {one.path for one in ALL}
    schema = Settings.model_json_schema()

    def leaves(node: dict[str, object], path: str) -> set[str]:
        found: set[str] = set()
        for one in [node, *node.get("anyOf", ()), *node.get("allOf", ())]:  # type: ignore[misc, list-item]
            target = schema["$defs"][one["$ref"].rsplit("/", 1)[1]] if "$ref" in one else one
            if "properties" in target:
                for name, inner in target["properties"].items():
                    found |= leaves(inner, f"{path}.{name}" if path else name)
            elif (
                isinstance(target.get("additionalProperties"), dict)
                and "$ref" in target["additionalProperties"]
            ):
                found |= leaves(target["additionalProperties"], f"{path}.<name>")
            elif isinstance(target.get("items"), dict) and "$ref" in target["items"]:
                found |= leaves(target["items"], f"{path}[]")
        return found or {path}

    assert leaves(schema, "") == listed


@pytest.mark.parametrize("setting", ALL, ids=lambda one: one.path)
def test_every_setting_has_a_meaning_and_a_unit(setting: Setting) -> None:
    assert re.fullmatch(r"\S.{8,}\.", setting.meaning)
    if setting.type in ("number", "integer") and not setting.path.endswith("port"):
        assert setting.unit and setting.range


def test_a_field_without_a_docstring_is_an_error() -> None:
    class Section(BaseModel):
        documented: int = Field(1, ge=0)
        """Pieces of something."""
        bare: int = 2

    listed = all_settings(Section)
    assert next(listed) == Setting(
        "documented", "integer", "count", "1", "at least 0", "Pieces of something."
    )
    with pytest.raises(LookupError, match=r"Section\.bare has no docstring"):
        next(listed)
