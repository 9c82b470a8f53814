"""Faults as time series: what Prometheus would have scraped from two gateways of the shop, an hour of health and then
one fault, which alerts fire, and which one is the incident that somebody is told of."""

from __future__ import annotations

from dataclasses import dataclass, field

Series = dict[str, str]
"""By series, in promtool's notation, one value each minute."""
HEALTHY, SICK = 60, 40
"""Minutes."""

_ROUTE = 'http_route="/api/orders",http_request_method="POST",bff_kind="command"'
_LOGIN = 'http_route="/bff/callback",http_request_method="GET",bff_kind="other"'


def steady(rate: float) -> str:
    """A counter, by what it grows in a minute, through health and sickness."""
    return f"0+{rate:g}x{HEALTHY + SICK}"


def state(value: float) -> str:
    return f"{value:g}x{HEALTHY + SICK}"


def then(well: float, ill: float) -> str:
    """A state that changes."""
    return f"{well:g}x{HEALTHY} {ill:g}x{SICK - 1}"


def grows(well: float, ill: float) -> str:
    """A counter whose growth in a minute changes."""
    return f"0+{well:g}x{HEALTHY} {well * HEALTHY + ill:g}+{ill:g}x{SICK - 2}"


def name(metric: str, more: str = "", instance: str = "one:8001") -> str:
    labels = f'job="shop",instance="{instance}"'
    return f"{metric}{{{labels}{',' if more else ''}{more}}}"


def slo(which: str, events: str, good: str) -> Series:
    return {
        name("bff_slo_events_total", f'bff_slo="{which}"'): events,
        name("bff_slo_good_total", f'bff_slo="{which}"'): good,
    }


def healthy() -> Series:
    """With the noise that every day has: one request in a thousand fails, a breaker was open for a moment, a gateway
    was restarted, some events were late, some people mistyped."""
    series: Series = {}
    for instance in ("one:8001", "two:8001"):
        series |= {
            name("up", instance=instance): state(1),
            name("bff_ready", instance=instance): state(1),
            name("bff_redis_up", instance=instance): state(1),
        }
    # The restart of one: three scrapes without an answer, its counters begin again.
    series[name("up", instance="two:8001")] = f"1x20 0x2 1x{HEALTHY + SICK - 23}"
    series[name("bff_ready", instance="two:8001")] = f"1x19 0 _x2 1x{HEALTHY + SICK - 23}"
    for which, each in (("checkout", 10), ("home", 60), ("product", 30)):
        series |= slo(which, steady(each), steady(each * 0.999))
    for which in ("home-complete", "product-complete"):
        series |= slo(which, steady(30), steady(30 * 0.998))
    for service in ("catalog", "inventory", "payments", "shipping", "orders", "notifications"):
        labels = f'bff_service="{service}",bff_group="reads",bff_address="http://{service}"'
        series[name("bff_breaker_state", labels)] = state(0)
    blip = 'bff_service="shipping",bff_group="reads",bff_address="http://shipping"'
    series[name("bff_breaker_state", blip)] = f"0x30 2 0x{HEALTHY + SICK - 32}"
    series |= {
        name(
            "http_server_request_duration_seconds_count", f'{_ROUTE},http_response_status_code="202"'
        ): steady(10),
        name(
            "http_server_request_duration_seconds_count", f'{_ROUTE},http_response_status_code="503"'
        ): steady(0.01),
        name(
            "http_server_request_duration_seconds_count", f'{_LOGIN},http_response_status_code="302"'
        ): steady(2),
        name(
            "http_server_request_duration_seconds_count", f'{_LOGIN},http_response_status_code="400"'
        ): steady(0.1),
        name("bff_upstream_rejections_total", 'bff_service="shipping",bff_reason="circuit-open"'): steady(
            0.01
        ),
        name("bff_shed_total", 'bff_where="optional"'): steady(0.1),
        name("bff_stream_lag_seconds_bucket", 'le="0.1"'): steady(950),
        name("bff_stream_lag_seconds_bucket", 'le="5"'): steady(999),
        name("bff_stream_lag_seconds_bucket", 'le="10"'): steady(1000),
        name("bff_stream_lag_seconds_bucket", 'le="+Inf"'): steady(1000),
        name("bff_events_oldest_unread_seconds", 'bff_source="redis"'): f"0x10 20 0x{HEALTHY + SICK - 12}",
        name("bff_events_losses_total"): steady(0),
        name("bff_events_dead_letters_total", 'bff_reason="unreadable"'): steady(0),
        name("bff_journals_waiting"): f"0x40 3 1 0x{HEALTHY + SICK - 43}",
        name("bff_saga_needs_attention", 'bff_saga="order"'): state(0),
        name("bff_worker_up", 'worker="0"'): state(1),
        name("bff_worker_up", 'worker="1"'): f"1x50 0 1x{HEALTHY + SICK - 52}",
    }
    return series


Fired = tuple[str, str]
"""An alert's name, and what tells it from others of the name: a service, an SLO, an instance, a worker or a type."""


@dataclass(frozen=True, slots=True)
class Fault:
    """changed: what the series are instead; fires: the alerts after SICK minutes; incidents: those that are left when
    the others are inhibited."""

    changed: Series
    fires: set[Fired]
    incidents: set[Fired] = field(default_factory=set)

    def __post_init__(self) -> None:
        # What burns fast burns slowly, too.
        slow = {
            ("BffSloBudgetBurnsSlowly", slo) for name, slo in self.fires if name == "BffSloBudgetBurnsFast"
        }
        object.__setattr__(self, "incidents", self.incidents or self.fires)
        object.__setattr__(self, "fires", self.fires | slow)


_DEAD = f"1x{HEALTHY} 0x{SICK - 1}"


def faults() -> dict[str, Fault]:
    breaker = 'bff_service="{0}",bff_group="reads",bff_address="http://{0}"'
    requests = "http_server_request_duration_seconds_count"
    return {
        "all gateways are down": Fault(
            {name("up"): _DEAD, name("up", instance="two:8001"): _DEAD},
            {("BffNoGateway", ""), ("BffGatewayDown", "one:8001"), ("BffGatewayDown", "two:8001")},
            {("BffNoGateway", "")},
        ),
        "one gateway is down": Fault({name("up"): _DEAD}, {("BffGatewayDown", "one:8001")}),
        "a gateway stays unready": Fault({name("bff_ready"): _DEAD}, {("BffGatewayUnready", "one:8001")}),
        "a worker is gone": Fault({name("bff_worker_up", 'worker="1"'): _DEAD}, {("BffWorkerDown", "1")}),
        "Redis refuses": Fault(
            {
                name("bff_redis_up"): _DEAD,
                **slo("checkout", steady(10), grows(10, 0)),
                name(requests, f'{_LOGIN},http_response_status_code="503"'): grows(0, 2),
            },
            {("BffRedisFailing", ""), ("BffSloBudgetBurnsFast", "checkout"), ("BffSignInFailing", "")},
            {("BffRedisFailing", "")},
        ),
        "a service that screens require fails": Fault(
            {
                name("bff_breaker_state", breaker.format("catalog")): then(0, 2),
                **slo("home", steady(60), grows(60, 0)),
                **slo("product", steady(30), grows(30, 0)),
                name("bff_upstream_rejections_total", 'bff_service="catalog",bff_reason="bulkhead"'): grows(
                    0, 5
                ),
            },
            {
                ("BffServiceFailing", "catalog"),
                ("BffBulkheadFull", "catalog"),
                ("BffSloBudgetBurnsFast", "home"),
                ("BffSloBudgetBurnsFast", "product"),
            },
            {("BffServiceFailing", "catalog")},
        ),
        "a service of optional parts fails": Fault(
            {
                name("bff_breaker_state", breaker.format("shipping")): then(0, 2),
                **slo("product-complete", steady(30), grows(30, 0)),
            },
            {("BffServiceFailing", "shipping"), ("BffSloBudgetBurnsFast", "product-complete")},
            {("BffServiceFailing", "shipping")},
        ),
        "a bulkhead is full": Fault(
            {
                name("bff_upstream_rejections_total", 'bff_service="inventory",bff_reason="bulkhead"'): grows(
                    0, 3
                )
            },
            {("BffBulkheadFull", "inventory")},
        ),
        "live updates are late": Fault(
            {
                name("bff_stream_lag_seconds_bucket", 'le="0.1"'): grows(950, 0),
                name("bff_stream_lag_seconds_bucket", 'le="5"'): grows(999, 100),
            },
            {("BffStreamLag", "")},
        ),
        "nobody reads the broker": Fault(
            {
                name(
                    "bff_events_oldest_unread_seconds", 'bff_source="redis"'
                ): f"0x{HEALTHY} 60+60x{SICK - 2}",
                **slo("checkout", steady(10), grows(10, 0)),
            },
            {("BffEventsUnread", "redis"), ("BffSloBudgetBurnsFast", "checkout")},
            {("BffEventsUnread", "redis")},
        ),
        "a broker dropped events": Fault(
            {name("bff_events_losses_total"): f"0x{HEALTHY + SICK - 6} 1x5"}, {("BffEventsLost", "")}
        ),
        "journals cannot be restored": Fault(
            {name("bff_journals_waiting"): then(0, 7)}, {("BffJournalsWaiting", "")}
        ),
        "sagas need a person": Fault(
            {name("bff_saga_needs_attention", 'bff_saga="order"'): then(0, 1)},
            {("BffSagasNeedAttention", "order")},
        ),
        "events cannot be read": Fault(
            {name("bff_events_dead_letters_total", 'bff_reason="unreadable"'): grows(0, 1)},
            {("BffDeadLetters", "")},
        ),
        "the identity provider is away": Fault(
            {name(requests, f'{_LOGIN},http_response_status_code="502"'): grows(0, 2)},
            {("BffSignInFailing", "")},
        ),
        "there is too much load": Fault(
            {name("bff_shed_total", 'bff_where="request"'): grows(0, 100)}, {("BffShedding", "")}
        ),
        "outcomes come too late": Fault(
            slo("checkout", steady(10), grows(10, 7)), {("BffSloBudgetBurnsFast", "checkout")}
        ),
        "too few requests for an alert": Fault(
            slo("checkout", "0+0.1x100", "0x100") | slo("home", "0+0.1x100", "0x100"), set()
        ),
    }
