from bff.stores.dead_letters import DEAD, DeadLetters
from bff.stores.events import BrokerEvent, StreamReader, parse_entries
from bff.stores.keys import redis_key
from bff.stores.progress import Leases, Positions
from bff.stores.redis.client import RedisClient


async def test_a_stream_is_read_on_from_the_saved_position(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as redis:
        reader, positions = StreamReader(redis, block=0.05), Positions(redis)
        for number in range(5):
            await redis.call("XADD", "events:a:0", f"{number + 1}-0", "event", str(number))
        await redis.call("XADD", "events:a:0", "9-0", "other", "x")
        assert await positions.load(["events:a:0", "events:b:0"]) == {"events:a:0": None, "events:b:0": None}
        read = await reader.read({"events:a:0": "0-0", "events:b:0": "0-0"}, count=2)
        assert read == {
            "events:a:0": [
                BrokerEvent("events:a:0", "1-0", b"0", "redis"),
                BrokerEvent("events:a:0", "2-0", b"1", "redis"),
            ]
        }
        await positions.save("events:a:0", "5-0")
        assert await positions.load(["events:a:0"]) == {"events:a:0": "5-0"}
        assert await reader.read({"events:a:0": "5-0"}, count=10) == {
            "events:a:0": [BrokerEvent("events:a:0", "9-0", None, "redis")]
        }
        assert await reader.read({"events:a:0": "9-0"}, count=10) == {}
        assert await redis.call("TTL", redis_key("ingest:events:a:0", "position")) > 0
        await reader.close()


async def test_a_dead_letter_has_its_stream_its_id_and_the_reason(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as redis:
        await DeadLetters(redis).add(BrokerEvent("events:a:0", "1-0", b"x" * 100_000, "redis"), "too large")
        ((_, fields),) = parse_entries(await redis.call("XRANGE", DEAD, "-", "+"))
        assert (
            fields[b"stream"] == b"events:a:0"
            and fields[b"id"] == b"1-0"
            and fields[b"reason"] == b"too large"
        )
        assert len(fields[b"body"]) == 65_536
        assert await redis.call("TTL", DEAD) > 0


async def test_a_lease_has_one_holder_and_passes_on_when_it_expires_or_is_released(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as redis:
        leases = Leases(redis)
        assert await leases.hold("x", "a", 60)
        assert await leases.hold("x", "a", 60)
        assert not await leases.hold("x", "b", 60)
        assert not await leases.release("x", "b")
        assert await leases.release("x", "a")
        assert await leases.hold("x", "b", 60)
        await redis.call("DEL", redis_key("lease:x"))  # what its expiry does
        assert not await leases.release("x", "b")
        assert await leases.hold("x", "a", 60)
