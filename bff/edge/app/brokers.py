"""The brokers that a gateway reads: those of its settings, made by factories, and those handed to `Gateway(brokers=…)`.

A factory is an entry point of the group `bff.brokers`, named as its section of the settings is. The adapters of bff are
registered in this way, too. A factory is imported only where its section is set: `pip install bff-gateway[nats]` and
`bff-gateway[rabbitmq]` bring the clients.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from ...calls import DeclarationError
from ...live.ingest import Broker, BrokerContext, PositionStore, RedisStreams
from ...live.ingest.redis_streams import stream_names
from ...stores.progress import Positions
from ...stores.redis.client import RedisClient
from ..settings import Settings
from ..settings.events import NatsSettings, RabbitMqSettings
from ..settings.network import NetworkSettings, TlsSettings
from .network import Connections

GROUP = "bff.brokers"
# pyproject.toml registers the same. They are repeated here for a gateway that runs from a checkout.
BUILT_IN = {name: f"{__name__}:{name}_broker" for name in ("nats", "rabbitmq", "redis")}


def nats_broker(section: Mapping[str, object], context: BrokerContext) -> Broker:
    """section: as `NatsSettings`."""
    from ...live.ingest.nats import NatsJetStream

    nats = NatsSettings.model_validate(section)
    return NatsJetStream(
        context.positions,
        nats.url.get_secret_value,
        nats.stream,
        subject=nats.subject,
        timeout=nats.timeout,
        network=context.network,
    )


def rabbitmq_broker(section: Mapping[str, object], context: BrokerContext) -> Broker:
    """section: as `RabbitMqSettings`."""
    from ...live.ingest.rabbitmq import RabbitMq

    rabbit = RabbitMqSettings.model_validate(section)
    return RabbitMq(
        rabbit.url.get_secret_value,
        rabbit.queues,
        exchange=rabbit.exchange,
        keys=rabbit.keys,
        timeout=rabbit.timeout,
        network=context.network,
    )


def redis_broker(section: Mapping[str, Any], context: BrokerContext) -> Broker:
    """section: `streams`, the names of the streams."""
    return RedisStreams(context.redis, section.get("streams", ()))


def open_brokers(
    settings: Settings,
    redis: RedisClient,
    given: Sequence[Broker] = (),
    connections: Connections | None = None,
    positions: PositionStore | None = None,
) -> list[Broker]:
    """Every broker to read; none where no events can arrive.

    given        those of `Gateway(brokers=…)`
    connections  None: the usual certificate authorities and no proxy
    positions    where brokers that store none save theirs; None: in Redis

    Raises DeclarationError that names the setting and the cure.
    """
    live, names = settings.live, [broker.name for broker in given]
    sections: dict[str, Mapping[str, Any]] = dict(live.brokers)
    connections = connections or Connections(NetworkSettings())
    networks = {
        name: connections.to(_setting(name), name, TlsSettings.model_validate(section["tls"]))
        for name, section in sections.items()
        if name in BUILT_IN and section.get("tls")
    }
    for name, model in (("nats", live.nats), ("rabbitmq", live.rabbitmq)):
        if model is not None:
            if name in sections:
                raise DeclarationError(
                    f"BFF_LIVE__{name.upper()} and {_setting(name)} are both set: set one of the two"
                )
            sections[name] = model.model_dump()
            networks[name] = connections.to(f"BFF_LIVE__{name.upper()}", name, model.tls)
    if live.stream_keys or sections or given or settings.events:
        # Also where services publish to another broker: replayed dead letters arrive in a Redis Stream.
        sections.setdefault("redis", {"streams": stream_names(live.stream_keys, live.partitions)})
    for name in names:
        if name in sections or names.count(name) > 1:
            raise DeclarationError(f"brokers: two of them have the name {name!r}; each needs another name")
    positions = positions or Positions(redis)
    return [
        *given,
        *(
            _made(name, section, BrokerContext(positions, redis, networks.get(name, connections.network)))
            for name, section in sections.items()
        ),
    ]


def _made(name: str, section: Mapping[str, Any], context: BrokerContext) -> Broker:
    setting = _setting(name)
    try:
        broker: Broker = _factory(name)(section, context)
    except ImportError as error:
        cure = f"pip install 'bff-gateway[{name}]'" if name in BUILT_IN else str(error)
        raise DeclarationError(f"{setting}: needs the client: {cure}") from error
    except ValidationError as error:
        # Without the input, which may be a secret.
        found = error.errors(include_input=False, include_url=False)
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)
        raise DeclarationError(f"{setting}: {wrong}") from None
    except ValueError as error:
        raise DeclarationError(f"{setting}: {error}") from error
    return broker


def _factory(name: str) -> Callable[[Mapping[str, Any], BrokerContext], Any]:
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    found |= {known: EntryPoint(known, value, GROUP) for known, value in BUILT_IN.items()}
    if name not in found:
        near = difflib.get_close_matches(name, found, 1)
        raise DeclarationError(
            f"{_setting(name)}: no installed package provides the broker {name!r}. Install one that does (its entry "
            f"point is in the group {GROUP}), or use one of {', '.join(sorted(found))}"
            + (f"; did you mean {near[0]}?" if near else "")
        )
    factory: Callable[[Mapping[str, Any], BrokerContext], Any] = found[name].load()
    return factory


def _setting(name: str) -> str:
    return f"BFF_LIVE__BROKERS__{name.upper()}"
