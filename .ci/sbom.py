"""A bill of materials (CycloneDX 1.6, JSON) from the locks: every package by name, version and hashes, and which
package requires it. `sbom.py FILE` writes it.

The same locks give the same bytes: no time, no machine, nothing fetched. Packages that only build and test the project
are marked as `excluded`.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import tomllib
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NAMESPACE = uuid.UUID("6d0c2d54-19c4-4d0e-9a0e-3f1c1f0f5a10")
_PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)", re.I)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(r"^\s+#\s+(?:via\s+)?(\S+)")

Component = dict[str, Any]


@dataclass
class Locked:
    """One package of a pip lock; via: the names of the packages that require it."""

    name: str
    version: str
    hashes: list[str] = field(default_factory=list)
    via: list[str] = field(default_factory=list)

    @property
    def ref(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


def locked(text: str) -> list[Locked]:
    """In the lock's order. A package may be listed twice, with a version for each kind of machine."""
    found: list[Locked] = []
    for line in text.splitlines():
        if pinned := _PINNED.match(line):
            found.append(Locked(pinned[1].lower(), pinned[2]))
        elif digest := _HASH.search(line):
            found[-1].hashes.append(digest[1])
        elif (via := _VIA.match(line)) and via[1] != "via":
            found[-1].via.append(via[1].lower())
    return found


def document() -> dict[str, Any]:
    """The whole bill."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    root = f"pkg:pypi/{project['name']}@{project['version']}"
    needed, all_of_it = (
        locked((ROOT / ".requirements" / name).read_text(encoding="utf-8"))
        for name in ("demo.txt", "dev.txt")
    )
    components: list[Component] = []
    asked: dict[str, set[str]] = {root: set()}
    runs = {one.ref for one in needed}
    refs: dict[str, list[str]] = {}
    for one in all_of_it:
        refs.setdefault(one.name, []).append(one.ref)
    for one in all_of_it:
        digests = [{"alg": "SHA-256", "content": digest} for digest in one.hashes]
        scope = "required" if one.ref in runs else "excluded"
        components.append(_component(one.name, one.version, one.ref, scope, digests))
        asked.setdefault(one.ref, set())
        for name in one.via:
            # The project and its groups of dependencies have their own names here.
            for asker in refs.get(name, [root]):
                asked.setdefault(asker, set()).add(one.ref)
    for path, package in json.loads((ROOT / "web/client/package-lock.json").read_text(encoding="utf-8"))[
        "packages"
    ].items():
        if path:
            name = path.rpartition("node_modules/")[2]
            ref = f"pkg:npm/{name.replace('@', '%40')}@{package['version']}"
            algorithm, _, digest = package["integrity"].partition("-")
            content = base64.b64decode(digest).hex()
            digests = [{"alg": algorithm.upper().replace("SHA", "SHA-"), "content": content}]
            components.append(
                _component(
                    name, package["version"], ref, "excluded" if package.get("dev") else "required", digests
                )
            )
            asked[root].add(ref)
            asked.setdefault(ref, set())
    bill: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": project["name"],
                "version": project["version"],
                "purl": root,
                "licenses": [{"license": {"id": project["license"]}}],
            }
        },
        "components": sorted(components, key=lambda one: str(one["bom-ref"])),
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(needs)} if needs else {"ref": ref}
            for ref, needs in sorted(asked.items())
        ],
    }
    serial = uuid.uuid5(NAMESPACE, json.dumps(bill, sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "serialNumber": f"urn:uuid:{serial}",
        **bill,
    }


def _component(name: str, version: str, ref: str, scope: str, digests: list[dict[str, str]]) -> Component:
    return {
        "type": "library",
        "bom-ref": ref,
        "name": name,
        "version": version,
        "scope": scope,
        "purl": ref,
        # Each hash belongs to one of the files of a version, and an installation must match one of them.
        "externalReferences": [{"type": "distribution", "url": ref, "hashes": digests}],
    }


def main(arguments: list[str]) -> int:
    """Write it and print how much it contains."""
    bill = document()
    target = Path(arguments[0])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(bill, indent=1) + "\n", encoding="utf-8")
    shipped = sum(one["scope"] == "required" for one in bill["components"])
    print(f"{target}: {len(bill['components'])} components, {shipped} of them part of what runs")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
