"""What the server of `tests.modules` imports before it starts anything: the imports of gateways, of the development
sign-in and of the shop's services."""

import gc
import importlib

importlib.import_module("bff.cli")
importlib.import_module("bff.edge.server")
importlib.import_module("bff.cli.dev.sign_in.app")
for service in ("catalog", "inventory", "notifications", "orders", "payments", "shipping"):
    importlib.import_module(f"upstreams.{service}.app")

# Memory that is shared with the started processes stays shared.
gc.collect()
gc.freeze()
