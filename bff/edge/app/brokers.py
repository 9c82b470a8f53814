"""The buses a gateway reads, from its settings; each by one reader among all gateways.

What a bus needs is imported only where one is named: `pip install bff-gateway[nats]`, `bff-gateway[rabbitmq]`.
"""

from __future__ import annotations

from ...calls import DeclarationError
from ...live.ingest import Bus, Ingester, Intake, RedisStreams
from ...live.ingest.redis_streams import stream_names
from ...stores.redis.link import RedisLink
from ..settings import Settings


def ingesters(settings: Settings, link: RedisLink, intake: Intake) -> list[Ingester]:
    """None where no events are to be had. Raises DeclarationError when a client is not installed."""
    return [Ingester(link, intake, bus) for bus in _buses(settings, link)]


def _buses(settings: Settings, link: RedisLink) -> list[Bus]:
    live = settings.live
    buses: list[Bus] = []
    if live.nats is not None:
        try:
            from ...live.ingest.nats import NatsJetStream
        except ImportError:
            raise DeclarationError(
                "BFF_LIVE__NATS: needs the client: pip install 'bff-gateway[nats]'"
            ) from None
        url = live.nats.url.get_secret_value()
        buses.append(NatsJetStream(link, url, live.nats.stream, subject=live.nats.subject))
    if live.rabbitmq is not None:
        try:
            from ...live.ingest.rabbitmq import RabbitMq
        except ImportError:
            raise DeclarationError(
                "BFF_LIVE__RABBITMQ: needs the client: pip install 'bff-gateway[rabbitmq]'"
            ) from None
        rabbit = live.rabbitmq
        url = rabbit.url.get_secret_value()
        buses.append(RabbitMq(url, rabbit.queues, exchange=rabbit.exchange, keys=rabbit.keys))
    if live.stream_keys or buses or settings.events:
        # Also where services publish elsewhere: what is replayed from the dead letters comes this way.
        buses.append(RedisStreams(link, stream_names(live.stream_keys, live.partitions)))
    return buses
