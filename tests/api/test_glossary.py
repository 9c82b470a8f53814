"""The glossary lists each term once, and no name in the code uses a word that the glossary replaces."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..conftest import ROOT

ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| ?([^|]*)\|$", re.M)
ROWS = [
    (term.strip(), meaning.strip(), [word.strip() for word in other.split(",") if word.strip()])
    for term, meaning, other in ROW.findall((ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))
    if term.strip() not in ("term", "---")
]
WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")


def names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The names that this file defines: classes, functions, parameters, attributes and assigned variables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield (node.id if isinstance(node, ast.Name) else node.attr), node.lineno


def words(name: str) -> list[str]:
    return [word.lower() for word in WORD.findall(name)]


def test_each_term_is_listed_once() -> None:
    assert len(ROWS) > 60
    assert [term for term, count in Counter(term.lower() for term, *_ in ROWS).items() if count > 1] == []


def test_a_replaced_word_is_not_a_term_and_belongs_to_one_term_only() -> None:
    terms = {term.lower() for term, *_ in ROWS}
    replaced = Counter(word.lower() for _, _, other in ROWS for word in other)
    assert terms & set(replaced) == set()
    assert [word for word, count in replaced.items() if count > 1] == []


def test_no_name_in_the_code_uses_a_replaced_word() -> None:
    second = {tuple(words(word)): term for term, _, other in ROWS for word in other}
    found = []
    for path in sorted((ROOT / "bff").rglob("*.py")):
        # Names of settings are used from outside and do not change.
        if path.parent.name == "settings":
            continue
        file = str(path.relative_to(ROOT))
        named = [(part, 0) for part in Path(file).with_suffix("").parts]
        named += names(ast.parse(path.read_text(encoding="utf-8")))
        for name, line in named:
            split = words(name)
            for other, term in second.items():
                if any(tuple(split[at : at + len(other)]) == other for at in range(len(split))):
                    found.append(f"{file}:{line}: {name} ({term})")
    assert found == []
