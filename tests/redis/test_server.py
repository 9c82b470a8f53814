import redis.asyncio as redis


async def test_the_session_server_answers_and_is_empty(redis_url: str) -> None:
    client = redis.from_url(redis_url)
    assert await client.ping()
    assert await client.dbsize() == 0
    await client.aclose()
