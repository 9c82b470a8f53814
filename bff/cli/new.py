"""`bff new NAME`: write a small gateway that runs, with its page, its tests, stand-ins for the services that it calls,
and the files with which it is built, tried and started in containers.

The folder is created complete or not at all: everything is written into a temporary folder beside it, which is then
renamed. A folder that is not empty is refused, and so is a name that cannot be the name of both a gateway and a Python
package.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
import shutil
import sys
import tempfile
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from ..calls import DeclarationError
from .project_pages import WORDS

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 40
# Folders and modules that the project has beside its package, and the word of `bff new upstream`.
_TAKEN = {"bff", "page", "services", "tests", "upstream"}
_SUFFIX = ".tmpl"
# Names of the template's files and folders that differ from those in the project.
_RENAMED = {
    "gitignore": ".gitignore",
    "dockerignore": ".dockerignore",
    "env.example": ".env.example",
    "github": ".github",
}


def create(name: str, parent: Path, *, page: str = "plain") -> Path:
    """Write the project `parent/name` and return its folder. page: one of `project_pages.PAGES`. Raises a
    DeclarationError that says what to do."""
    package = _package(name)
    folder = parent / name
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DeclarationError(
            f"{folder} exists and is not an empty folder; choose another name, or remove it"
        )
    names = {"{{name}}": name, "{{package}}": package, "{{title}}": name.replace("-", " ").capitalize()}
    words = dict.fromkeys((word for given in WORDS.values() for word in given), "") | WORDS[page] | names
    try:
        beside = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=parent))
        try:
            made = beside / name
            for part in ("project", page):
                _copy(files(__package__) / "template" / part, made, words)
            made.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise DeclarationError(f"{folder} cannot be written: {error.strerror or error}") from None
    return folder


def start_command(folder: Path, page: str) -> str:
    """What a person types next."""
    install = "npm install --prefix page && " if page == "vite" else ""
    return f"cd {folder.name} && {install}bff dev"


def _package(name: str) -> str:
    """The name of the project's Python package. Raises DeclarationError where the name cannot be used."""
    good = "a good name has lower-case letters, digits and single dashes, such as desk or help-desk"
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise DeclarationError(f"{name!r} cannot name a gateway; {good}, and at most {_LONGEST} characters")
    package = name.replace("-", "_")
    if keyword.iskeyword(package) or package in sys.stdlib_module_names or package in _TAKEN:
        raise DeclarationError(
            f"{name!r} cannot name a gateway: its package {package} would hide another module; {good}"
        )
    found = importlib.util.find_spec(package)
    # A folder without modules is also found, but has no origin.
    if found is not None and found.origin is not None:
        raise DeclarationError(
            f"{name!r} cannot name a gateway: a module {package} is installed ({found.origin}); {good}"
        )
    return package


def _copy(source: Traversable, to: Path, words: dict[str, str]) -> None:
    to.mkdir(exist_ok=True)
    for entry in source.iterdir():
        if entry.is_dir():
            name = words["{{package}}"] if entry.name == "package" else entry.name
            _copy(entry, to / _RENAMED.get(name, name), words)
        elif entry.name.endswith(_SUFFIX):
            name = entry.name.removesuffix(_SUFFIX)
            text = entry.read_text(encoding="utf-8")
            for word, value in words.items():
                text = text.replace(word, value)
            (to / _RENAMED.get(name, name)).write_text(text, encoding="utf-8")
