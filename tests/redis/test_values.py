import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from bff.stores.keys import redis_key
from bff.stores.redis.client import RedisClient
from bff.stores.values import Values, unpack_value, value_channel

AT = "2026-03-01T10:00:00Z"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with RedisClient(redis_url, timeout=10) as opened:
        yield opened


async def test_only_a_higher_version_is_stored(redis: RedisClient) -> None:
    values = Values(redis)
    versions = [*range(1, 60)] * 2
    versions.sort(key=lambda version: (version * 37) % 61)
    news = await asyncio.gather(*(values.put("stock/mug-01", v, {"available": v}, AT) for v in versions))
    assert sum(news) >= 1
    found = await values.get(["stock/mug-01", "stock/other"])
    assert list(found) == ["stock/mug-01"]
    assert found["stock/mug-01"].version == 59
    assert json.loads(found["stock/mug-01"].payload) == {
        **{"name": "stock/mug-01", "version": 59},
        **{"data": {"available": 59}, "at": AT},
    }
    assert not await values.put("stock/mug-01", 59, {}, AT)


async def test_a_change_is_published_and_the_key_expires(redis: RedisClient) -> None:
    values = Values(redis)
    async with redis.dedicated(timeout=5) as subscriber, subscriber.pubsub() as pubsub:
        await pubsub.subscribe(value_channel("stock/a"))
        assert await pubsub.get_message(timeout=2)
        await values.put("stock/a", 3, None, AT)
        message = await pubsub.get_message(timeout=2)
    assert message is not None
    assert unpack_value(message["data"]) == (await values.get(["stock/a"]))["stock/a"]
    assert 0 < await redis.call("TTL", redis_key("value:stock/a")) <= 7 * 86_400


@pytest.mark.parametrize("name", ["", "a" * 201, "a b", "a}b", "ü", "a\n"])
async def test_a_name_that_could_not_be_a_topic_is_refused(redis: RedisClient, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        await Values(redis).put(name, 1, None, AT)


async def test_a_version_that_could_not_be_compared_exactly_is_refused(redis: RedisClient) -> None:
    with pytest.raises(ValueError, match="version"):
        await Values(redis).put("a", 2**53, None, AT)
