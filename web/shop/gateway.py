"""The shop's gateway: six screens, three commands, one saga, two live values."""

from __future__ import annotations

from pathlib import Path

from bff import Gateway, Principal, Slo, complete, confirmed, optional, together

from .clients import catalog, inventory, notices, orders, payments, shipping
from .models import (
    BasketScreen,
    Bell,
    Cart,
    Items,
    NotificationsScreen,
    OrderScreen,
    OrdersScreen,
    OrderStatus,
    ProductScreen,
    ProductsScreen,
    Sku,
    Stock,
    Unread,
)

shop = Gateway(
    "shop",
    deadline=1.5,
    scopes=("shop",),
    slos=[
        # An order takes four steps at four services; in the demo each of them pauses for everybody to see.
        Slo(
            "checkout",
            command="/api/orders",
            good=confirmed(within=10),
            target=0.99,
            team="Shop",
            contact="#shop",
        ),
        Slo(
            "home",
            view="/api/screens/products",
            good=complete(within=0.3),
            target=0.99,
            team="Shop",
            contact="#shop",
        ),
        Slo(
            "product",
            view="/api/screens/products/{sku}",
            good=complete(within=0.5),
            target=0.99,
            team="Shop",
            contact="#shop",
        ),
    ],
)
order_saga = shop.saga("order", OrderStatus, restore=orders.of_owner)
stock_left = shop.value("stock/{sku}", Stock, public=True, load=inventory.stock)
bell = shop.value("bell/{owner}", Bell)

HERE = Path(__file__).parent
shop.site(
    HERE / "page" / "index.html",
    paths=("/", "/products/{sku}", "/basket", "/orders", "/orders/{id}"),
    folders={"/assets": HERE / "page", "/client": HERE.parent / "client"},
)


@shop.view("/api/screens/products", public=True)
async def products_screen() -> ProductsScreen:
    """All products, with the stock of each."""
    products, stock = await together(catalog.products(), optional(inventory.levels(), within=0.5))
    return ProductsScreen(products=products.products, stock=stock)


@shop.view("/api/screens/products/{sku}", public=True)
async def product_screen(sku: Sku) -> ProductScreen:
    """One product, its stock, and when it would arrive."""
    product = await catalog.product(sku)
    stock, delivery = await together(
        optional(inventory.stock(sku), within=0.5),
        optional(shipping.estimate(product.weight_g), within=0.3),
    )
    return ProductScreen(product=product, stock=stock, delivery=delivery)


@shop.view("/api/screens/baskets/{items}", public=True)
async def basket_screen(items: Items) -> BasketScreen:
    """What the delivery of these items costs. Items that are not sold weigh nothing; the order will be refused."""
    sold = {product.sku: product.weight_g for product in (await catalog.products()).products}
    wanted = (item.split(":") for item in items.split(","))
    weight_g = sum(sold.get(sku, 0) * int(quantity) for sku, quantity in wanted)
    return BasketScreen(delivery=await optional(shipping.estimate(weight_g), within=0.3))


@shop.view("/api/screens/orders")
async def orders_screen() -> OrdersScreen:
    """The signed-in person's orders."""
    return OrdersScreen(orders=(await orders.mine()).orders)


@shop.view("/api/screens/orders/{id}")
async def order_screen(id: str) -> OrderScreen:
    """One order with its history, its payment and its shipment."""
    order, payment, shipment = await together(
        orders.order(id),
        optional(payments.charge(id), within=0.5),
        optional(shipping.shipment(id), within=0.5),
    )
    return OrderScreen(order=order, payment=payment, shipment=shipment)


@shop.view("/api/screens/notifications")
async def notifications_screen(who: Principal) -> NotificationsScreen:
    """The notifications of the signed-in person, and the name of the live value of their bell."""
    told = await notices.mine()
    return NotificationsScreen(
        notifications=told.notifications, unread=told.unread, topic=f"bell/{who.pseudonym}"
    )


@shop.command("/api/orders", starts=order_saga, limit="60/minute", deadline=3)
async def place_order(cart: Cart) -> OrderStatus:
    """Place an order for the items in the basket."""
    return await orders.place(cart)


@shop.command("/api/orders/{id}/cancel", starts=order_saga, limit="60/minute", deadline=3)
async def cancel_order(id: str) -> OrderStatus:
    """Cancel an order while it is under way."""
    return await orders.cancel(id)


@shop.command("/api/notifications/read", limit="60/minute")
async def read_notifications() -> Unread:
    """Mark all notifications as read."""
    return await notices.read_all()
