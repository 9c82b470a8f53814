import asyncio
import json
import uuid
from collections.abc import AsyncIterator

import pytest

from bff.stores.keys import redis_key
from bff.stores.redis.client import RedisClient
from bff.stores.values import Value, Values, unpack_value, value_channel

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


def mutations_of(value: Value) -> list[str] | None:
    named: list[str] | None = json.loads(value.payload).get("mutations")
    return named


ONE, TWO, THREE = (str(uuid.UUID(int=number, version=4)) for number in (1, 2, 3))


async def test_a_version_names_its_commands_and_those_of_the_versions_before_it(redis: RedisClient) -> None:
    values = Values(redis)
    await values.put("stock/a", 1, 9, AT)
    assert mutations_of((await values.get(["stock/a"]))["stock/a"]) is None, "nobody has named any"
    await values.put("stock/a", 2, 8, AT, [ONE])
    await values.put("stock/a", 3, 7, AT, [])
    await values.put("stock/a", 4, 6, AT, [TWO])
    (value,) = (await values.get(["stock/a"])).values()
    assert json.loads(value.payload) == {
        "name": "stock/a", "version": 4, "data": 6, "at": AT, "mutations": [ONE, TWO],
    }  # fmt: skip


async def test_the_commands_of_a_version_that_was_stored_before_its_event_are_published_later(
    redis: RedisClient,
) -> None:
    values = Values(redis)
    await values.put("stock/a", 2, 8, AT)  # as its service answered when it was asked
    async with redis.dedicated(timeout=5) as subscriber, subscriber.pubsub() as pubsub:
        await pubsub.subscribe(value_channel("stock/a"))
        assert await pubsub.get_message(timeout=2)
        assert not await values.put("stock/a", 1, 9, AT, [ONE])
        assert not await values.put("stock/a", 2, 8, AT, [TWO])
        assert not await values.put("stock/a", 2, 8, AT, [TWO]), "a repeat tells nothing"
        told = [await pubsub.get_message(timeout=2) for _ in range(2)]
        assert await pubsub.get_message(timeout=0.1) is None
    read = [unpack_value(one["data"]) for one in told if one is not None]
    assert [(one.version, mutations_of(one)) for one in read if one is not None] == [
        (2, [ONE]),
        (2, [ONE, TWO]),
    ]


async def test_only_the_newest_32_commands_are_kept(redis: RedisClient) -> None:
    values = Values(redis)
    names = [str(uuid.UUID(int=number, version=4)) for number in range(40)]
    for version, name in enumerate(names):
        await values.put("stock/a", version, version, AT, [name])
    assert mutations_of((await values.get(["stock/a"]))["stock/a"]) == names[-32:]


@pytest.mark.parametrize("mutations", [None, [], [ONE], [ONE, TWO]])
async def test_a_value_that_redis_lost_is_written_back_with_its_commands(
    redis: RedisClient, mutations: list[str] | None
) -> None:
    values = Values(redis)
    await values.put("stock/a", 3, {"note": ',"mutations":[]}'}, AT, mutations)
    (before,) = (await values.get(["stock/a"])).values()
    await redis.call("DEL", redis_key("value:stock/a"))
    assert await values.put_payload("stock/a", before)
    assert (await values.get(["stock/a"]))["stock/a"] == before
    await values.put("stock/a", 4, 4, AT, [THREE])
    assert mutations_of((await values.get(["stock/a"]))["stock/a"]) == [*(mutations or []), THREE]


@pytest.mark.parametrize("name", ["", "a" * 201, "a b", "a}b", "ü", "a\n"])
async def test_a_name_that_could_not_be_a_topic_is_refused(redis: RedisClient, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        await Values(redis).put(name, 1, None, AT)


async def test_a_version_that_could_not_be_compared_exactly_is_refused(redis: RedisClient) -> None:
    with pytest.raises(ValueError, match="version"):
        await Values(redis).put("a", 2**53, None, AT)


async def test_a_value_that_is_gone_stays_gone_until_a_higher_version_or_a_load_brings_it_back(
    redis: RedisClient,
) -> None:
    values = Values(redis)

    async def stored() -> Value:
        return (await values.get(["stock/a"]))["stock/a"]

    await values.put("stock/a", 4, 9, AT, [ONE])
    assert await values.put_gone("stock/a", 4, AT)
    gone = await stored()
    assert gone.gone
    assert json.loads(gone.payload) == {"name": "stock/a", "version": 4, "at": AT, "gone": True}
    # An event that arrives late, with or without further commands, and a repeat change nothing.
    for version in (3, 4):
        assert not await values.put("stock/a", version, 9, AT, [TWO])
    assert not await values.put_gone("stock/a", 4, AT)
    assert not await values.put("stock/a", 3, 9, AT, loaded=True)
    assert await stored() == gone
    assert await values.put("stock/a", 4, 9, AT, loaded=True)
    back = await stored()
    assert not back.gone and mutations_of(back) is None
    assert not await values.put("stock/a", 4, 9, AT, loaded=True), "it is the same"
    await values.put_gone("stock/a", 4, AT)
    assert await values.put("stock/a", 5, 8, AT, [TWO])
    assert mutations_of(await stored()) == [TWO]


async def test_a_version_newer_than_the_one_that_is_gone_stays(redis: RedisClient) -> None:
    values = Values(redis)
    await values.put("stock/a", 5, 9, AT)
    assert not await values.put_gone("stock/a", 4, AT)
    assert not (await values.get(["stock/a"]))["stock/a"].gone


async def test_that_a_value_is_gone_is_published_and_written_back_after_redis_lost_it(
    redis: RedisClient,
) -> None:
    values = Values(redis)
    async with redis.dedicated(timeout=5) as subscriber, subscriber.pubsub() as pubsub:
        await pubsub.subscribe(value_channel("stock/a"))
        assert await pubsub.get_message(timeout=2)
        await values.put_gone("stock/a", 3, AT)
        message = await pubsub.get_message(timeout=2)
    assert message is not None
    gone = unpack_value(message["data"])
    assert gone is not None and gone.gone
    await redis.call("DEL", redis_key("value:stock/a"))
    # One gateway has missed it, and writes first.
    await values.put("stock/a", 3, 9, AT)
    assert await values.put_payload("stock/a", gone)
    assert (await values.get(["stock/a"]))["stock/a"] == gone


async def test_a_text_that_looks_like_a_value_that_is_gone_is_none(redis: RedisClient) -> None:
    values = Values(redis)
    await values.put("stock/a", 1, {"x": ',"gone":true}', "gone": True}, ',"gone":true}')
    assert not (await values.get(["stock/a"]))["stock/a"].gone
