"""What the server of `tests.modules` loads before it starts anything: what gateways and the shop's services import."""

import gc
import importlib

importlib.import_module("bff.cli")
importlib.import_module("bff.edge.server")
for service in ("catalog", "identity", "inventory", "notifications", "orders", "payments", "shipping"):
    importlib.import_module(f"upstreams.{service}.app")

# What is shared with those that are started stays shared.
gc.collect()
gc.freeze()
