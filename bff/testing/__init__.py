"""For tests of your gateway: run screens and commands with the test's answers, without a server, a socket or Redis.

    async def test_a_product_is_shown_without_its_stock() -> None:
        with request_context({"Catalog.product": MUG, "Inventory.stock": fails("timeout")}) as kit:
            screen = await product_screen("mug-01")
        assert screen.stock.state == "missing"
        assert kit.waves == [["Catalog.product"], ["Inventory.stock", "Shipping.estimate"]]

Decorators return your function unchanged, so a test can call it. Answers are decoded by the call's model, as a
service's answers are. A call without an answer raises NoAnswer, which `optional` does not catch.

`gateway_client` runs the whole gateway instead, on a real port with an embedded Valkey.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from ..calls import Call, Principal, Upstream
from .failures import fails
from .kit import Kit, NoAnswer, request_context

if TYPE_CHECKING:
    import httpx

    from ..edge.gateway import Gateway

__all__ = ["Kit", "NoAnswer", "fails", "gateway_client", "request_context"]


def gateway_client(
    gateway: Gateway,
    answers: Mapping[Call[Any] | Upstream, Any] | None = None,
    *,
    principal: Principal | None = None,
    settings: Mapping[str, Any] | None = None,
) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    """The whole gateway on a free port of this machine, with an embedded Valkey (the extra `dev`, or a server on PATH)
    and a stand-in for each service; the block gets an httpx client for it.

        async with gateway_client(app, {desk.ticket("7"): TICKET, people: fails("timeout")}) as client:
            screen = await client.get("/api/tickets/7")
        assert screen.headers["bff-complete"] == "false"

    Retries, breakers, deadlines, limits, idempotency and the stream are real; only the services are not. The client
    sends a new Idempotency-Key with each POST and PATCH that has none.

    answers    by the Call, which is compared by service, method, path and query: a model, JSON as Python objects, the
               bytes of the body, or `fails(…)`. By the Upstream: `fails(…)` for all its other calls. Everything else is
               answered 404 by the stand-in.
    principal  the user whose token the client sends, with these scopes and roles; default None: anonymous
    settings   in place of the defaults, in sections as in the settings file: `{"limits": {"default": "5/minute"}}`

    Raises ValueError for answers that cannot be given (`circuit-open`: a breaker opens by itself), and DeclarationError
    for mistakes in declarations or settings, and where there is no Valkey.
    """
    from .whole_gateway import client_of  # the gateway is imported only where it is run

    return client_of(gateway, answers or {}, principal, settings or {})
