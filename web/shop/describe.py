"""`python -m web.shop.describe`: the gateway's OpenAPI description, from which types are generated."""

from __future__ import annotations

import json
import sys

from bff.edge.describe import openapi

from .gateway import shop

if __name__ == "__main__":
    sys.stdout.write(json.dumps(openapi.document(shop, shop.version)))
