"""NATS JetStream as a broker: one stream, read in its order from a position stored in the gateway's Redis.

No message is acknowledged to the server: after a lost acknowledgement the server would deliver the message again only
after a wait, after newer events of the same saga. The stream must retain its messages for a while (retention by limits,
not a work queue). By the stream's first sequence and its creation time, which is stored with the position, the adapter
notices that the stream has dropped unread events or was recreated. A recreated stream is read from its first message.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import ParseResult, unquote, urlsplit

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamInfo

from ...network import Network, Proxy, open_connection
from ...network.probe import certificate_end
from ...stores.events import BrokerEvent
from .broker import (
    CHECK_INTERVAL,
    Address,
    BatchSize,
    BrokerUnavailable,
    OnLoss,
    PositionStore,
    current_url,
    error_text,
)

TIMEOUT = 5.0
"""Seconds for connecting, and for a reply of the server, where the settings name no others."""
PORT = 4222
INACTIVE = 60.0
"""Seconds after which the server drops the consumer of a reader that died."""

_BROKEN = (NatsError, OSError, TimeoutError)


class _Transport(TcpTransport):
    """The client's transport, through the proxy where it applies. It sends nothing to a `tls://` address before the
    connection is encrypted: the client itself leaves that to the server."""

    def __init__(self, proxy: Proxy | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library's transports are
        self._proxy = proxy
        self._may_send = False
        self.certificate_until: datetime | None = None

    def __bool__(self) -> bool:
        # The client replaces a transport that is false, as the library's are before they have connected.
        return True

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        self.abort()
        async with asyncio.timeout(connect_timeout):
            reader, writer = await open_connection(
                self._proxy, uri.hostname or "", uri.port or PORT, limit=buffer_size
            )
        self._may_send = uri.scheme != "tls"
        self._bare_io_reader = self._io_reader = reader
        self._bare_io_writer = self._io_writer = writer

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        await super().connect_tls(uri, ssl_context, buffer_size, connect_timeout)
        self._may_send = True
        if self._io_writer is not None:
            self.certificate_until = certificate_end(self._io_writer)

    def abort(self) -> None:
        """End the connection at once. The client leaves one open that it opened while its last failure was handled."""
        # The TCP connection, with which TLS above it ends, too. Up to Python 3.11.2 a closed TLS transport cannot be
        # aborted.
        if self._bare_io_writer is not None:
            self._bare_io_writer.transport.abort()

    def write(self, payload: bytes) -> None:
        if not self._may_send:
            raise ConnectionAbortedError("the server offers no TLS, but its address begins with tls://")
        super().write(payload)  # type: ignore[no-untyped-call]


class NatsJetStream:
    """Reads one JetStream stream.

    positions  where its position is stored
    url        of a server, or of several separated by commas; read at each `open`, because its password may change.
               User and password are percent-encoded; those of the first address that has some are for all servers. A
               user without a password is a token
    stream     its name
    subject    reads only messages with this subject, which may have wildcards; None: all messages
    block      seconds that a read waits for messages
    timeout    seconds for connecting, and for a reply of the server
    network    trusted certificates and the proxy. A connection to `tls://` is never used without TLS

    Raises ValueError for a ws:// or wss:// address that the proxy applies to.
    """

    name = "nats"

    def __init__(
        self,
        positions: PositionStore,
        url: Address,
        stream: str,
        *,
        subject: str | None = None,
        block: float = 1.0,
        timeout: float = TIMEOUT,
        network: Network | None = None,
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._network = network or Network()
        for one in map(urlsplit, current_url(self._url).split(",")):
            if one.scheme.startswith("ws") and self._network.proxy_for(one.hostname or "") is not None:
                raise ValueError("NATS over WebSocket cannot go through the proxy; use nats:// or tls://")
        self._stream = stream
        self._subject = subject
        self._block = block
        self._positions = positions
        self._key = f"nats:{stream}"
        self._position = 0
        self._delivered = 0
        self._created = ""
        self._client: Client | None = None
        self._transport: _Transport | None = None
        self._jetstream: JetStreamContext | None = None
        self._consumer = ""
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._on_loss: OnLoss | None = None
        self._batch_size = BatchSize()
        self._next_check = 0.0
        self._cause = ""
        self._failure: Exception | None = None

    async def open(self, on_loss: OnLoss) -> None:
        self._on_loss, self._cause, self._batch_size, self._delivered = on_loss, "", BatchSize(), 0
        saved = (await self._positions.load([self._key]))[self._key]
        number, _, self._created = (saved or "").partition(" ")
        self._position = int(number or 0)
        jetstream, stream = await self._connect()
        await self._compare(stream)
        try:
            async with asyncio.timeout(2 * self._timeout):
                config = ConsumerConfig(
                    deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=self._position + 1,
                    ack_policy=AckPolicy.NONE,
                    filter_subject=self._subject,
                    inactive_threshold=INACTIVE,
                )
                self._consumer = (await jetstream.add_consumer(self._stream, config=config)).name
                self._subscription = await jetstream.pull_subscribe_bind(
                    consumer=self._consumer, stream=self._stream
                )
        except _BROKEN as error:
            raise self._unavailable(error) from error
        self._next_check = asyncio.get_running_loop().time() + CHECK_INTERVAL

    async def _connect(self) -> tuple[JetStreamContext, StreamInfo]:
        """Connect and ask for the stream. Raises BrokerUnavailable."""
        self._failure = None
        try:
            async with asyncio.timeout(2 * self._timeout):
                # Stored before it connects, so that `close` also closes a client that failed to connect.
                self._client = client = Client()
                urls, login = _servers(current_url(self._url))
                if not any(url.startswith("ws") for url in urls):
                    client._transport = self._transport = _Transport(self._network.proxy)
                await client.connect(
                    urls,
                    allow_reconnect=False,
                    # Each server twice: otherwise the client tries for two minutes, whatever the reason.
                    max_reconnect_attempts=1,
                    reconnect_time_wait=1,
                    connect_timeout=math.ceil(self._timeout),
                    tls=self._network.trust.context,
                    **login,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnect,
                )
                self._jetstream = jetstream = client.jetstream(timeout=self._timeout)
                return jetstream, await jetstream.stream_info(self._stream)
        except (NoServersError, TimeoutError) as error:
            # What the last server said is the reason.
            why = self._failure or error
            raise self._unavailable(why) from why
        except _BROKEN as error:
            raise self._unavailable(error) from error

    async def check(self) -> datetime | None:
        """Connect, look for the stream and disconnect; nothing is changed or read. Returns the end of the server's
        certificate, None without TLS. Raises BrokerUnavailable."""
        try:
            await self._connect()
            return None if self._transport is None else self._transport.certificate_until
        finally:
            await self.close()

    async def newest(self) -> int:
        """Connect, ask for the number of the stream's newest message and disconnect. Raises BrokerUnavailable."""
        try:
            _, stream = await self._connect()
            return stream.state.last_seq
        finally:
            await self.close()

    async def publish(self, body: bytes, subject: str | None = None) -> BrokerEvent:
        """Connect, publish one message and disconnect. subject: None: the one that is read, or else the stream's, where
        it has no wildcard. Returns the event as it will be read. Raises BrokerUnavailable, and ValueError where no
        subject is certain."""
        try:
            jetstream, stream = await self._connect()
            subjects = [subject or self._subject or "", *(stream.config.subjects or ())]
            exact = [one for one in subjects if one and not {"*", ">"} & set(one.split("."))]
            if not exact:
                raise ValueError(
                    f"NATS, stream {self._stream!r}: name a subject, one of {', '.join(subjects[1:])}"
                )
            stored = await jetstream.publish(exact[0], body, timeout=self._timeout, stream=self._stream)
            return BrokerEvent(self._key, str(stored.seq), body, self.name)
        except _BROKEN as error:
            raise self._unavailable(error) from error
        finally:
            await self.close()

    async def read(self) -> Mapping[str, Sequence[BrokerEvent]]:
        if self._subscription is None or self._client is None or not self._client.is_connected:
            raise BrokerUnavailable(
                f"NATS, stream {self._stream!r}: {self._cause or 'the connection was lost'}"
            )
        now = asyncio.get_running_loop().time()
        if now >= self._next_check:
            await self._check()
            self._next_check = now + CHECK_INTERVAL
        try:
            messages = await self._subscription.fetch(self._batch_size.count, timeout=self._block)
        except TimeoutError:
            return {}
        except (NatsError, OSError) as error:
            raise self._unavailable(error) from error
        events = [
            BrokerEvent(
                *(self._key, str(message.metadata.sequence.stream), message.data, self.name),
                message.metadata.timestamp.timestamp(),
            )
            for message in messages
        ]
        self._delivered += len(events)
        read = {self._key: events} if events else {}
        self._batch_size.record(read)
        return read

    async def _check(self) -> None:
        """Check that the stream still has every unread message, and that the consumer still exists."""
        if self._jetstream is None:
            return
        try:
            stream = await self._jetstream.stream_info(self._stream)
            consumer = await self._jetstream.consumer_info(self._stream, self._consumer)
        except _BROKEN as error:
            # The server drops a consumer that was inactive for long, without an error for a fetch.
            raise self._unavailable(error) from error
        if _created(stream) != self._created:
            raise BrokerUnavailable(f"NATS, stream {self._stream!r}: it was recreated")
        await self._compare(stream)
        delivered = consumer.delivered.consumer_seq if consumer.delivered else 0
        if (
            consumer.num_pending == 0
            and delivered == self._delivered
            and self._position < stream.state.last_seq
        ):
            # The messages in between have other subjects. If the stream drops them later, that is not a loss.
            await self._save(stream.state.last_seq)

    async def _compare(self, stream: StreamInfo) -> None:
        created, state = _created(stream), stream.state
        if self._created not in ("", created) or state.last_seq < self._position:
            position, why = 0, "it was recreated"
        elif state.first_seq > self._position + 1:
            position, why = state.first_seq - 1, "it dropped unread events"
        else:
            self._created = created
            return
        if self._on_loss is not None:
            await self._on_loss(f"{self._stream}: {why}")
        self._created = created
        await self._save(position)

    async def ack(self, partition: str, events: Sequence[BrokerEvent]) -> None:
        await self._save(max(self._position, int(events[-1].id)))

    async def _save(self, sequence: int) -> None:
        await self._positions.save(self._key, f"{sequence} {self._created}")
        self._position = sequence

    async def close(self) -> None:
        client, self._client, self._jetstream, self._subscription = self._client, None, None, None
        transport, self._transport = self._transport, None
        try:
            if client is not None:
                with contextlib.suppress(*_BROKEN):
                    async with asyncio.timeout(self._timeout):
                        await client.close()
        finally:
            if transport is not None:
                transport.abort()

    def _unavailable(self, error: BaseException) -> BrokerUnavailable:
        return BrokerUnavailable(f"NATS, stream {self._stream!r}: {error_text(error)}")

    async def _on_error(self, error: Exception) -> None:
        self._cause, self._failure = error_text(error), error

    async def _on_disconnect(self) -> None:
        self._cause = self._cause or "the connection was lost"


def _servers(addresses: str) -> tuple[list[str], dict[str, Any]]:
    """The addresses without users, and the user and password or the token in them. The client itself would send them
    percent-encoded."""
    urls: list[str] = []
    login: dict[str, Any] = {}  # arguments of `Client.connect`
    for one in addresses.split(","):
        scheme, _, rest = one.strip().partition("://")
        user, _, host = rest.rpartition("@")
        urls.append(f"{scheme}://{host}")
        if user and not login:
            name, colon, password = user.partition(":")
            login = (
                {"user": unquote(name), "password": unquote(password)} if colon else {"token": unquote(name)}
            )
    return urls, login


def _created(stream: StreamInfo) -> str:
    return stream.created.isoformat() if stream.created else ""
