"""The services this page uses: who owns each, and the calls the page makes."""

from __future__ import annotations

from bff import Call, Upstream

from .models import (
    Cart,
    Estimate,
    Notifications,
    OrderDetail,
    Orders,
    OrderStatus,
    Payment,
    Product,
    Products,
    Shipment,
    Stock,
    StockLevels,
    Unread,
)


class Catalog(Upstream, team="Catalog", contact="#catalog"):
    """A content source: its answers are cached, and invalidated at once when it announces a change."""

    def products(self) -> Call[Products]:
        return (
            self.get("/products", Products)
            .fresh(30, stale_while_revalidate=60, stale_if_error=3600)
            .public()
            .tagged("product")
        )

    def product(self, sku: str) -> Call[Product]:
        return (
            self.get("/products/{sku}", Product, sku=sku)
            .fresh(30, stale_while_revalidate=60, stale_if_error=3600)
            .public()
            .tagged(f"product/{sku}")
        )


class Inventory(Upstream, team="Inventory", contact="#inventory"):
    def levels(self) -> Call[StockLevels]:
        return self.get("/stock", StockLevels).public()

    def stock(self, sku: str) -> Call[Stock]:
        return self.get("/stock/{sku}", Stock, sku=sku).public()


class Shipping(Upstream, team="Shipping", contact="#shipping"):
    def estimate(self, weight_g: int) -> Call[Estimate]:
        return self.get("/estimates", Estimate, weight_g=weight_g).fresh(300).public()

    def shipment(self, order_id: str) -> Call[Shipment]:
        return self.get("/shipments/{order_id}", Shipment, order_id=order_id)


class Payments(Upstream, team="Payments", contact="#payments"):
    def charge(self, order_id: str) -> Call[Payment]:
        return self.get("/charges/{order_id}", Payment, order_id=order_id)


class Ordering(Upstream, team="Orders", contact="#orders", service="orders"):
    def place(self, cart: Cart) -> Call[OrderStatus]:
        return self.post("/orders", OrderStatus, cart)

    def cancel(self, order_id: str) -> Call[OrderStatus]:
        return self.post("/orders/{order_id}/cancel", OrderStatus, order_id=order_id)

    def mine(self) -> Call[Orders]:
        """The signed-in person's orders, newest first; the token that is passed on identifies the person."""
        return self.get("/orders", Orders)

    def of_owner(self, owner: str) -> Call[Orders]:
        """Open orders and those that ended within a day, from which a lost journal is restored."""
        return self.get("/orders", Orders, since_hours=24)

    def order(self, order_id: str) -> Call[OrderDetail]:
        return self.get("/orders/{order_id}", OrderDetail, order_id=order_id)


class Notices(Upstream, team="Notifications", contact="#notifications", service="notifications"):
    def mine(self) -> Call[Notifications]:
        return self.get("/notifications", Notifications)

    def read_all(self) -> Call[Unread]:
        return self.post("/notifications/read", Unread, {})


catalog = Catalog()
inventory = Inventory()
shipping = Shipping()
payments = Payments()
orders = Ordering()
notices = Notices()
