from __future__ import annotations

import asyncio

from .system import Shop, basket, following, key, place


async def test_every_step_of_an_order_is_on_the_stream_until_it_is_completed(shop: Shop) -> None:
    async with shop.api("ada") as api, following(shop, "ada", query="?value=stock/lamp-01") as [stream]:
        before = shop.world.stock("lamp-01")
        click = key()
        answer = await place(api, basket("lamp-01", 2), click)
        assert answer.status_code == 202
        body = answer.json()
        assert body["mutation"] == click
        assert body["saga"]["type"] == "order"
        assert answer.headers["location"] == f"/bff/sagas/order/{body['saga']['id']}"
        id = body["saga"]["id"]
        await stream.until(lambda one: one.ended(id))
        seen = [(one["version"], one["status"], one["step"]) for one in stream.sagas(id)]
        versions = [version for version, _, _ in seen]
        assert versions == list(range(versions[0], versions[0] + len(versions))), "each once, in order"
        assert [step for _, status, step in seen if status == "RUNNING"] == ["reserve", "charge", "ship"]
        assert seen[-1][1] == "COMPLETED"
        assert all(one["mutation"] == click for one in stream.sagas(id))
        await stream.until(
            lambda one: any(
                event.name == "value" and event.data["data"]["available"] == before - 2
                for event in one.events
            )
        )
        where = await api.get(answer.headers["location"])
        assert (where.status_code, where.json()["status"]) == (200, "COMPLETED")
        screen = (await api.get(f"/api/screens/orders/{id}")).json()
        assert screen["payment"]["state"] == "ready"
        assert screen["shipment"]["data"]["tracking"]
        assert [moment["version"] for moment in screen["order"]["history"]] == list(
            range(1, len(screen["order"]["history"]) + 1)
        )


async def test_an_order_with_a_refused_payment_is_undone_with_a_reason(shop: Shop) -> None:
    async with shop.api("bruno") as api, following(shop, "bruno") as [stream]:
        before = shop.world.stock("mug-01")
        answer = await place(api, basket("mug-01", 1))
        id = answer.json()["saga"]["id"]
        await stream.until(lambda one: one.ended(id))
        last = stream.newest(id)
        assert last is not None
        assert (last["status"], last["reason"]) == ("COMPENSATED", "card-declined")
        assert "release" in [one["step"] for one in stream.sagas(id)]
        assert shop.world.stock("mug-01") == before


async def test_a_stream_can_be_resumed_from_the_cursor_of_the_answer(shop: Shop) -> None:
    async with shop.api("ada") as api:
        answer = await place(api, basket())
        body = answer.json()
        async with following(shop, "ada", query=f"?after={body['cursor']}") as [stream]:
            await stream.until(lambda one: one.ended(body["saga"]["id"]))
            assert stream.events[0].name not in ("snapshot", "reset")
            epoch, offset = body["cursor"].rsplit("-", 1)
            ids = [event.id for event in stream.events if event.name == "saga"]
            assert ids == [f"{epoch}-{int(offset) + number}" for number in range(1, len(ids) + 1)]


async def test_a_hundred_posts_with_one_key_are_one_order(shop: Shop) -> None:
    async with shop.api("grace") as api:
        click = key()

        async def post() -> tuple[int, str | None, bytes]:
            answer = await api.post(
                "/api/orders", json=basket("mug-01", 1), headers={"idempotency-key": click}
            )
            return answer.status_code, answer.headers.get("idempotency-replayed"), answer.content

        calls_before = _calls(shop, "POST /orders")
        answers = await asyncio.gather(*(post() for _ in range(100)))
        fresh = [answer for answer in answers if answer[0] == 202 and answer[1] is None]
        replayed = [answer for answer in answers if answer[0] == 202 and answer[1] == "true"]
        busy = [answer for answer in answers if answer[0] == 409]
        assert len(fresh) == 1
        assert len(replayed) + len(busy) == 99, sorted({answer[0] for answer in answers})
        assert all(answer[2] == fresh[0][2] for answer in replayed), "the same answer, byte for byte"
        again = await post()
        assert again == (202, "true", fresh[0][2])
        id = (await api.get("/api/screens/orders")).json()["orders"][0]["id"]
        shop.world.ended(id, "grace")
        assert len(shop.world.charges(id)) == 1
        assert _calls(shop, "POST /orders") - calls_before == 1

        other = await place(api, basket("mug-01", 2), click)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency-mismatch")
        none = await api.post("/api/orders", json=basket())
        assert (none.status_code, none.json()["code"]) == (400, "idempotency-key-missing")


def _calls(shop: Shop, what: str) -> int:
    """How many requests the orders service received, by its own log."""
    import json

    count = 0
    for line in shop.world.log("orders").read_text().splitlines():
        with_json = json.loads(line) if line.startswith("{") else {}
        text = json.dumps(with_json)
        method, path = what.split(" ")
        if f'"{method}"' in text and f'"{path}"' in text:
            count += 1
    return count


async def test_two_people_may_use_the_same_key(shop: Shop) -> None:
    click = key()
    async with shop.api("ada") as ada, shop.api("grace") as grace:
        one = await place(ada, basket(), click)
        two = await place(grace, basket(), click)
    assert one.status_code == two.status_code == 202
    assert one.json()["saga"]["id"] != two.json()["saga"]["id"]
