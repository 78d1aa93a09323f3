"""Prints the bill of materials of the image's Python packages, as CycloneDX JSON: `./dev sbom > mastertape.cdx.json`.

It is made from requirements/runtime.lock and needs no network; the same lock gives the same bytes.
"""

import importlib.metadata
import json
import re
import sys
import uuid
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = ROOT / "requirements" / "runtime.lock"
PINNED: Final = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>.+?))? \\$")
VIA: Final = re.compile(r"^    # (?:via |  )(?P<name>[\w.-]+)")
OWN: Final = "mastertape"


def bill_of_materials(lock: str) -> dict[str, Any]:
    """Return the packages of a lock file that uv wrote, with what each depends on."""
    components, needs = [], {OWN: set[str]()}
    refs: dict[str, list[str]] = {}
    needed_by: list[tuple[str, str]] = []
    for line in lock.splitlines():
        if found := PINNED.match(line):
            components.append(_component(found["name"], found["version"], found["marker"]))
            refs.setdefault(found["name"], []).append(components[-1]["bom-ref"])
        elif found := VIA.match(line):
            needed_by.append((found["name"], components[-1]["bom-ref"]))
    for name, ref in needed_by:
        for parent in [OWN] if name == OWN else refs[name]:
            needs.setdefault(parent, set()).add(ref)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, lock)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": OWN,
                "name": OWN,
                "version": importlib.metadata.version(OWN),
                "licenses": [{"license": {"id": "MIT"}}],
            }
        },
        "components": components,
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(needs.get(ref, ()))}
            for ref in (OWN, *(each["bom-ref"] for each in components))
        ],
    }


def _component(name: str, version: str, marker: str | None) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
    }
    if marker is not None:
        component["properties"] = [{"name": "mastertape:marker", "value": marker}]
    return component


if __name__ == "__main__":
    sys.stdout.write(json.dumps(bill_of_materials(LOCK.read_text()), indent=1) + "\n")
