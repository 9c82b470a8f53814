"""The newest version of each value, and what its streams get of it."""

from __future__ import annotations

from typing import Any

import pytest

from bff.live.feeds import Feeds
from bff.stores.values import Value, value_channel

from .fakes import ADA

NAME = "stock/mug"
CHANNEL = value_channel(NAME)


class Subscribed:
    """The members of a stream that `Feeds` uses. values: the payloads that it got."""

    def __init__(self) -> None:
        self.owner, self.names, self.subscribed = ADA.id, (NAME,), False
        self.values: list[bytes] = []

    def on_value(self, name: str, payload: bytes) -> None:
        assert name == NAME
        self.values.append(payload)


class NoSubscriptions:
    def subscribe(self, channel: str, listener: object) -> None:
        """Messages are given to `Feeds.on_message` directly."""


@pytest.fixture
def stream() -> Any:
    return Subscribed()


@pytest.fixture
def feeds(stream: Any) -> Feeds:
    subscriptions: Any = NoSubscriptions()
    listener: Any = None
    feeds = Feeds(subscriptions, listener)
    feeds.add(stream)
    return feeds


def test_a_version_is_sent_once_and_an_older_one_never(feeds: Feeds, stream: Any) -> None:
    for message in (b"2 {two}", b"2 {two}", b"1 {one}", b"3 {three}"):
        feeds.on_message(CHANNEL, message)
    assert stream.values == [b"{two}", b"{three}"]


def test_a_version_that_is_published_again_with_further_commands_is_sent_again(
    feeds: Feeds, stream: Any
) -> None:
    for message in (b"2 {two}", b'2 {two,"mutations":["m"]}'):
        feeds.on_message(CHANNEL, message)
    assert stream.values == [b"{two}", b'{two,"mutations":["m"]}']


def test_a_read_that_names_fewer_commands_than_the_last_message_changes_nothing(
    feeds: Feeds, stream: Any
) -> None:
    feeds.on_message(CHANNEL, b'2 {two,"mutations":["m"]}')
    feeds.on_read([NAME], {NAME: Value(2, b"{two}")}, feeds.generation)
    assert feeds.payloads([NAME]) == {NAME: b'{two,"mutations":["m"]}'}
    feeds.on_read([NAME], {NAME: Value(2, b'{two,"mutations":["m","n"]}')}, feeds.generation)
    assert stream.values == [b'{two,"mutations":["m"]}', b'{two,"mutations":["m","n"]}']
