"""`bff new upstream` for each service of the demo: the written calls are what the service declares, and read what it
answers."""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bff import Upstream
from bff.calls.codec import codec_of
from bff.cli import from_openapi
from bff.cli.from_openapi import Choices
from tests.upstreams.world import World

SERVICES = ("catalog", "inventory", "payments", "shipping", "orders", "notifications")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, documents: dict[str, Any]) -> dict[str, ModuleType]:
    """The written file of each service, imported."""
    folder: Path = tmp_path_factory.mktemp("written")
    found = {}
    for service, document in documents.items():
        (folder / f"{service}.json").write_text(json.dumps(document))
        file = folder / f"{service}.py"
        choices = Choices(service.capitalize(), service, f"#{service}", output=file)
        from_openapi.write(folder / f"{service}.json", choices)
        spec = importlib.util.spec_from_file_location(f"written_{service}", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        found[service] = module
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_each_operation_of_a_service_has_a_method(
    service: str, written: dict[str, ModuleType], documents: dict[str, Any]
) -> None:
    upstream = getattr(written[service], service.capitalize())
    methods = {
        name for name, _ in inspect.getmembers(upstream, inspect.isfunction) if name not in vars(Upstream)
    }
    operations = [
        operation["operationId"]
        for path in documents[service]["paths"].values()
        for method, operation in path.items()
        if method in ("get", "post", "put", "patch", "delete")
    ]
    assert operations and methods == set(operations)


def test_a_live_answer_is_read_by_the_written_model(
    written: dict[str, ModuleType], documents: dict[str, Any], services: World
) -> None:
    operation = documents["catalog"]["paths"]["/products"]["get"]["operationId"]
    catalog: Any = written["catalog"].Catalog()
    call = getattr(catalog, operation)(sku=["mug-01"])
    answer = services.http.get(services.url("catalog") + call.path, params=list(call.query))
    found = codec_of(call.model).decode(answer.raise_for_status().content)
    assert [product.sku for product in found.products] == ["mug-01"]
