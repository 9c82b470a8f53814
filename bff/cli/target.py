"""Finds the gateway that the command line names as `module:gateway`.

For a name that does not exist the message suggests the most similar one. The module is imported with the current folder
on the path, as `python -m` does.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from ..calls import DeclarationError
from ..edge.gateway import Gateway
from . import collector


def load(target: str) -> Gateway:
    """Import the gateway. Raises a DeclarationError that says what is wrong with the name or the module."""
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise DeclarationError(f"{target!r}: write module:gateway, for example web.shop.gateway:shop")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        with collector.paused():
            module = importlib.import_module(module_name)
    except DeclarationError:
        raise
    except ModuleNotFoundError as error:
        if error.name == module_name or module_name.startswith(f"{error.name}."):
            where, near = "", did_you_mean(module_name, _modules_near(module_name))
        else:
            where, near = f" ({module_name} imports it)", ""
        raise DeclarationError(
            f"{target}: no module named {error.name}{where}{near}; "
            "install it, or run bff in the folder that holds it"
        ) from None
    except Exception as error:
        raise DeclarationError(f"{target}: {module_name} cannot be imported: {_cause(error)}") from error
    gateway = getattr(module, attribute, None)
    if not isinstance(gateway, Gateway):
        known = [name for name, value in vars(module).items() if isinstance(value, Gateway)]
        problem = "is not a Gateway" if hasattr(module, attribute) else "does not exist"
        cure = (
            f"write {' or '.join(f'{module_name}:{name}' for name in known)}"
            if known
            else f"{module_name} has no Gateway; make one there, such as {attribute} = Gateway({attribute!r})"
        )
        raise DeclarationError(
            f"{target}: {attribute} in {module_name} {problem}{did_you_mean(attribute, known)}; {cure}"
        )
    return gateway


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that suggests the most similar known name, empty when none is similar."""
    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _modules_near(module_name: str) -> list[str]:
    """The modules of the folder or package in which `module_name` should be."""
    package, _, _ = module_name.rpartition(".")
    folder = Path.cwd().joinpath(*package.split(".")) if package else Path.cwd()
    prefix = f"{package}." if package else ""
    return [prefix + found.name for found in pkgutil.iter_modules([str(folder)])]


def _cause(error: Exception) -> str:
    """The error in the imported module and its place: the innermost line outside this file."""
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({error.filename}, line {error.lineno})"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and Path(frame.filename) != Path(__file__)
    ]
    at = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{at}"
