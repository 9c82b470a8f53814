"""The buses a gateway reads, from its settings; each by one reader among all gateways.

What a bus needs is imported only where one is named: `pip install bff-gateway[nats]`, `bff-gateway[rabbitmq]`.
"""

from __future__ import annotations

from ...calls import DeclarationError
from ...live.ingest import Broker, EventDispatcher, Ingester, RedisStreams
from ...live.ingest.redis_streams import stream_names
from ...stores.redis.client import RedisClient
from ..settings import Settings


def ingesters(settings: Settings, redis: RedisClient, intake: EventDispatcher) -> list[Ingester]:
    """None where no events are to be had. Raises DeclarationError when a client is not installed."""
    return [Ingester(redis, intake, bus) for bus in _buses(settings, redis)]


def _buses(settings: Settings, redis: RedisClient) -> list[Broker]:
    live = settings.live
    brokers: list[Broker] = []
    if live.nats is not None:
        try:
            from ...live.ingest.nats import NatsJetStream
        except ImportError:
            raise DeclarationError(
                "BFF_LIVE__NATS: needs the client: pip install 'bff-gateway[nats]'"
            ) from None
        url = live.nats.url.get_secret_value()
        brokers.append(NatsJetStream(redis, url, live.nats.stream, subject=live.nats.subject))
    if live.rabbitmq is not None:
        try:
            from ...live.ingest.rabbitmq import RabbitMq
        except ImportError:
            raise DeclarationError(
                "BFF_LIVE__RABBITMQ: needs the client: pip install 'bff-gateway[rabbitmq]'"
            ) from None
        rabbit = live.rabbitmq
        url = rabbit.url.get_secret_value()
        brokers.append(RabbitMq(url, rabbit.queues, exchange=rabbit.exchange, keys=rabbit.keys))
    if live.stream_keys or brokers or settings.events:
        # Also where services publish elsewhere: what is replayed from the dead letters comes this way.
        brokers.append(RedisStreams(redis, stream_names(live.stream_keys, live.partitions)))
    return brokers
