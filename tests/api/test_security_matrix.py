"""docs/security-matrix.md has every requirement of its catalogues once and in their order, and each has a test that
exists, a page, or a word that says why not. Its inventories are complete."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import pytest

from bff.edge.observe.log_text import LOGGERS

from ..conftest import ROOT

PAGE = ROOT / "docs" / "security-matrix.md"
TEXT = PAGE.read_text(encoding="utf-8")
WORDS = ("provider", "deployment", "not offered", "not done")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`|`(tests/web/[\w.]+\.js)`")
LINK = re.compile(r"\[[^\]]+\]\(([\w./-]+\.md)\)")

# Requirements by section: how many sentences have one of the words of RFC 2119, and for ASVS the level of each.
RFC_10017: Mapping[str, int] = {
    "6.1.3.1": 2, "6.1.3.2": 7, "6.1.3.3": 1, "6.1.3.3.2": 2, "6.1.3.6": 3, "6.2.2.3": 2, "6.2.3.1": 2, "6.3.2": 1,
    "6.3.2.1": 2, "6.3.2.2": 1, "6.3.2.3": 5, "6.3.3.1": 2, "6.3.3.2": 1, "6.3.3.2.1": 2, "6.3.3.3": 2, "6.3.3.4": 1,
    "7.2": 4, "7.3": 2, "8.1": 1, "8.2": 1, "9.1": 1,
}  # fmt: skip
RFC_9700: Mapping[str, int] = {
    "1": 1, "2.1": 7, "2.1.1": 10, "2.1.2": 2, "2.2.1": 1, "2.2.2": 1, "2.3": 4, "2.4": 1, "2.5": 2, "2.6": 7, "3": 1,
    "4.1.3": 4, "4.2.4": 4, "4.3.2": 1, "4.4.2": 2, "4.4.2.1": 3, "4.4.2.2": 4, "4.5.3.2": 2, "4.7.1": 5, "4.8.2": 3,
    "4.9.3": 3, "4.10": 1, "4.11.1": 1, "4.11.2": 4, "4.12": 2, "4.13": 2, "4.14.2": 5, "4.15.1": 2, "4.16": 5,
    "4.17.2": 6,
}  # fmt: skip
ASVS: Mapping[str, str] = {
    "1.1": "22", "1.2": "1111122223", "1.3": "112222222223", "1.4": "222", "1.5": "123",
    "2.1": "122", "2.2": "112", "2.3": "12223", "2.4": "23",
    "3.1": "3", "3.2": "113", "3.3": "12223", "3.4": "11222233", "3.5": "11122333", "3.6": "3", "3.7": "22333",
    "4.1": "12233", "4.2": "23333", "4.3": "22", "4.4": "1222",
    "5.1": "2", "5.2": "112333", "5.3": "113", "5.4": "222",
    "6.8": "2222",
    "7.1": "222", "7.2": "1111", "7.3": "22", "7.4": "11222", "7.5": "223", "7.6": "22",
    "8.1": "1233", "8.2": "1123", "8.3": "133", "8.4": "23",
    "9.1": "111", "9.2": "1222",
    "10.1": "22", "10.2": "223", "10.3": "22223", "10.4": "1111122222233333", "10.5": "22222", "10.6": "22",
    "10.7": "222",
    "11.1": "2233", "11.2": "22233", "11.3": "11233", "11.4": "1222", "11.5": "23", "11.6": "23", "11.7": "33",
    "12.1": "12233", "12.2": "11", "12.3": "22223",
    "13.1": "2333", "13.2": "222223", "13.3": "2233", "13.4": "1222233",
    "14.1": "22", "14.2": "12223333", "14.3": "122",
    "15.1": "12233", "15.2": "12233", "15.3": "1222222", "15.4": "3333",
    "16.1": "2", "16.2": "22222", "16.3": "2222", "16.4": "222", "16.5": "2223",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    number: str
    requirement: str
    held: str
    shown: str


def rows(heading: str) -> list[Row]:
    """The rows of the tables below a heading of the second level."""
    part = re.split(r"^## ", TEXT, flags=re.M)
    (found,) = [one for one in part if one.startswith(heading)]
    lines = re.findall(r"^\| (\d[\d.-]*) \| (.+?) \| (.+?) \| (.+?) \|$", found, re.M)
    assert len(lines) == len(re.findall(r"^\| \d", found, re.M)), "every row has four cells"
    return [Row(*line) for line in lines]


CATALOGUES = {
    "RFC 10017": [f"{section}-{n}" for section, most in RFC_10017.items() for n in range(1, most + 1)],
    "RFC 9700": [f"{section}-{n}" for section, most in RFC_9700.items() for n in range(1, most + 1)],
    "OWASP ASVS 5.0": [
        f"{section}.{n}"
        for section, levels in ASVS.items()
        for n, level in enumerate(levels, 1)
        if level in "12"
    ],
}


@lru_cache
def functions(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize("heading", CATALOGUES)
def test_every_requirement_of_a_catalogue_has_one_row_in_its_order(heading: str) -> None:
    assert [row.number for row in rows(heading)] == CATALOGUES[heading]


def complaints(row: Row) -> Iterator[str]:
    """What is wrong with a row's evidence or reason."""
    tests, pages = TEST.findall(row.shown), LINK.findall(row.shown)
    for file, test, script in tests:
        if not (ROOT / (file or script)).is_file():
            yield f"there is no {file or script}"
        elif test and test not in functions(file):
            yield f"{file} has no {test}"
    yield from (f"there is no page {page}" for page in pages if not (PAGE.parent / page).is_file())
    rest = LINK.sub("", TEST.sub("", row.shown)).split(",")
    words = [word.strip() for word in rest if word.strip()]
    yield from (f"{word!r} is no word of this page" for word in words if word not in (*WORDS, "this page"))
    if not (tests or pages or words):
        yield "nothing shows it"
    if len(set(tests)) < len(tests):
        yield "a test is named twice"
    if not row.held.endswith("."):
        yield "what holds it is a sentence"
    if "not done" in words and len(row.held) < 40:
        yield "say why it is not done"
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", TEXT, re.M)}
    anchors = re.findall(r"\(#([\w-]+)\)", row.held)
    yield from (f"there is no section {anchor}" for anchor in anchors if anchor not in headings)


@pytest.mark.parametrize("heading", CATALOGUES)
def test_a_row_names_tests_and_pages_that_exist_or_says_why_there_are_none(heading: str) -> None:
    found = [f"{row.number} ({row.requirement}): {what}" for row in rows(heading) for what in complaints(row)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("held", "shown", "why"),
    [
        ("It does.", "`tests/api/test_none.py::test_it`", "there is no tests/api/test_none.py"),
        ("It does.", "`tests/api/test_names.py::test_none`", "tests/api/test_names.py has no test_none"),
        ("It does.", "`tests/web/none.js`", "there is no tests/web/none.js"),
        ("It does.", "[none.md](none.md)", "there is no page none.md"),
        ("It does.", "perhaps", "'perhaps' is no word of this page"),
        ("It does.", "–", "'–' is no word of this page"),
        ("It does.", " ", "nothing shows it"),
        ("It does", "provider", "what holds it is a sentence"),
        ("Not yet.", "not done", "say why it is not done"),
        ("See [there](#there).", "provider", "there is no section there"),
    ],
)
def test_a_row_without_evidence_is_reported(held: str, shown: str, why: str) -> None:
    assert list(complaints(Row("1-1", "MUST: be shown", held, shown))) == [why]


def test_the_words_of_rfc_2119_stand_before_each_requirement_of_an_rfc() -> None:
    forms = re.compile(r"(MUST|SHOULD|MUST NOT|SHOULD NOT|RECOMMENDED|NOT RECOMMENDED|REQUIRED): ")
    for heading in ("RFC 10017", "RFC 9700"):
        for row in rows(heading):
            assert forms.match(row.requirement), row


def cryptographic(tree: ast.AST) -> Iterator[str]:
    """The libraries of cryptography that a module imports."""
    for node in ast.walk(tree):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        names += [one.name for one in node.names] if isinstance(node, ast.Import) else []
        yield from (
            name for name in names if name.partition(".")[0] in ("cryptography", "hmac", "jwt", "ssl")
        )


def test_every_module_that_uses_cryptography_is_in_the_inventory() -> None:
    inventory = TEXT.partition("## Keys and algorithms")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`(bff/[\w/]+\.py)`", inventory))
    assert all((ROOT / path).is_file() for path in listed)
    for path in sorted((ROOT / "bff").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        source = path.read_text(encoding="utf-8")
        used = sorted(set(cryptographic(ast.parse(source))))
        assert not used or name in listed, f"{name} uses {used}: list it under Keys and algorithms"
        weak = re.findall(
            r"\b(?:md5|sha1|DES|ARC4|ECB)\b(?!\(text\.encode\(\), usedforsecurity=False)", source
        )
        assert not weak, f"{name} uses {weak}"


def test_every_logger_is_in_the_inventory() -> None:
    inventory = TEXT.partition("## Logs")[2]
    listed = re.findall(r"`(bff(?:\.\w+)?)`", inventory)
    assert sorted(listed) == sorted(LOGGERS)


def test_no_module_of_the_gateway_runs_text_as_code() -> None:
    for path in sorted((ROOT / "bff").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        imported = {
            name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
            )
        }
        found = called & {"eval", "exec", "compile", "os.system"}
        found |= imported & {"pickle", "marshal", "shelve", "xml"}
        assert not found, f"{path.relative_to(ROOT)} uses {sorted(found)}"


def test_the_format_of_every_log_line_is_a_constant() -> None:
    checked = 0
    for path in sorted((ROOT / "bff").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            if ast.unparse(node.func.value) not in ("log", "access", "logger"):
                continue
            # `log.log(level, format, …)`. A starred argument is a format that a function returns with its values.
            form = node.args[node.func.attr == "log"]
            checked += 1
            assert isinstance(form, ast.Constant | ast.Starred), f"{path.relative_to(ROOT)}:{node.lineno}"
    assert checked > 50
