"""A private value: visible to its owner only, on the stream and in the snapshot."""

from __future__ import annotations

import json

import pytest

from bff.live.topics import ValueTopic

from .test_stream import AT, client, person, world

BELL = ValueTopic("bell/{owner}")


async def test_a_private_value_reaches_its_owner_and_is_updated(redis_url: str) -> None:
    name = f"bell/{person('ada').pseudonym}"
    async with world(redis_url, topics=[BELL]) as one, client(one, f"/bff/live?value={name}") as ada:
        await ada.until("snapshot")
        for version in (1, 2):
            await one.values.put(name, version, {"unread": version}, AT)
            assert (await ada.until("value")).data["data"] == {"unread": version}
        async with client(one, f"/bff/live/snapshot?value={name}") as poll:
            assert [row["version"] for row in json.loads(await poll.body())["values"]] == [2]


@pytest.mark.parametrize("path", ["/bff/live", "/bff/live/snapshot"])
@pytest.mark.parametrize("owner", [person("bob").pseudonym, person("ada").id, "ada", "{owner}"])
async def test_a_private_value_of_another_person_is_refused(redis_url: str, path: str, owner: str) -> None:
    async with world(redis_url, topics=[BELL]) as one, client(one, f"{path}?value=bell/{owner}") as ada:
        assert ada.status in (400, 403), "400 where it cannot be a name"
        assert json.loads(await ada.body())["code"] in ("invalid-request", "forbidden")
        assert one.hub.count == 0


def test_the_pseudonym_is_the_hash_that_the_contract_defines() -> None:
    # sha256("https://id.example|ada"), as any service can work it out.
    assert person("ada").pseudonym == "f9eebe64e215aaf3db41042982ab3a6b"
