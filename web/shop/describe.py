"""`python -m web.shop.describe`: the gateway's OpenAPI description, from which types are generated. It has an issuer of
tokens, so that every security scheme is in it."""

from __future__ import annotations

import json
import sys

from bff.edge.describe import openapi
from bff.edge.settings import IssuerSettings, Settings

from .gateway import shop

SETTINGS = Settings(issuers=(IssuerSettings(issuer="https://login.example.org", audience="shop"),))

if __name__ == "__main__":
    sys.stdout.write(json.dumps(openapi.document(shop, shop.version, SETTINGS)))
