"""`bff serve`: uvicorn with the settings that a gateway needs, an admin port, and an orderly end.

On SIGTERM or SIGINT the gateway first becomes unready and serves on for the linger, so that load balancers notice
before it refuses any request. Then it ends its streams, spread over the drain window, and only then stops accepting
connections; uvicorn alone would close streams last and all at once. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import socket
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from ..calls import DeclarationError
from .app.build import App
from .gateway import Gateway
from .http.admission import Admission
from .http.body_bounds import BodyBounds
from .http.protocol import HttpProtocol
from .memory import MemoryWatch
from .observe.log_lines import log_to_stderr
from .settings import Settings

log = logging.getLogger("bff.server")

# Seconds that open requests get after the streams have ended.
GRACE = 5
# Options of an accepted socket, where the system has them. A client that stopped reading must not hold megabytes in the
# kernel, and one that vanished must not hold its connection for a quarter of an hour: bytes the kernel may hold, bytes
# of these not yet sent (beyond, writing is paused and the stream knows), and milliseconds until a client that
# acknowledges nothing counts as gone.
_ACCEPTED = (
    (socket.SOL_SOCKET, "SO_SNDBUF", 65_536),
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_NOTSENT_LOWAT", 16_384),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 20_000),
)
# Seconds, at least, in which the connections of a process that has a successor end with their next answer.
RETIRE = 1.0
# Seconds until load balancers know that this process is unready: Kubernetes removes an endpoint of a service while it
# tells the process to stop.
LINGER = 5.0
# Fewer connections than this are always worth a warning.
FEW = 1_000
# Open files beside the public connections: to upstreams and Redis, the admin port, logs.
FILES = 1_000


class Server(uvicorn.Server):
    """Uvicorn's server with a drain before its end. linger: seconds it serves on, unready, before the drain."""

    def __init__(self, config: uvicorn.Config, app: App, ready: Callable[[], None], linger: float) -> None:
        super().__init__(config)
        self._app = app
        self._linger = linger
        self._ready = ready
        self._loop = asyncio.get_running_loop()
        self._drain: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._drain is None:
            self._loop.call_soon_threadsafe(self.stop)
        else:
            self.stop_now()

    def stop(self) -> None:
        """End gently, as after the first signal; nothing more if the end has begun."""
        if self._drain is None:
            self._drain = self._loop.create_task(self._stop_gently())

    def stop_now(self) -> None:
        """End at once, as after a second signal."""
        # Uvicorn would still wait for open connections, and then raise the signal again.
        self.should_exit = self.force_exit = True

    async def _stop_gently(self) -> None:
        try:
            self._app.health.draining = True
            await asyncio.sleep(self._linger)
            await self._app.drain()
        finally:
            self.should_exit = True

    async def accept_from(self, listener: socket.socket) -> asyncio.Server:
        """Accept connections from one more socket, until the server that is returned is closed."""
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        protocol = partial(
            make,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        server: asyncio.Server = await self._loop.create_server(
            protocol, sock=listener, backlog=self.config.backlog
        )
        self.servers.append(server)
        return server

    def retire(self) -> None:
        """End because another process accepts from the same sockets now.

        Nothing is accepted any more. Streams end with `bye` over the drain window, and every answer says
        `Connection: close`. The server ends with its last connection. Connections without a request are closed after
        the linger, at least `RETIRE` seconds. The process stays ready: a health check on one of its connections must
        not take the whole address out of service.
        """
        if self._drain is None:
            self._drain = self._loop.create_task(self._retire())

    async def _retire(self) -> None:
        try:
            for server in self.servers:
                server.close()
            closing = (b"connection", b"close")
            # Those of the answers from now on, and those of the next second, when uvicorn makes them anew.
            self.server_state.default_headers.append(closing)
            self.config.encoded_headers.append(closing)
            until = self._loop.time() + max(self._linger, RETIRE)
            await self._app.end_streams()
            is_open = True
            while is_open and self._loop.time() < until:
                # Also before the first look: what was just accepted is counted in the next turn of the loop.
                await asyncio.sleep(0.05)
                is_open = bool(self.server_state.connections)
        finally:
            self.should_exit = True


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening socket. Raises DeclarationError, with the remedy, for a port that cannot be used. shared: other
    sockets of this user may listen on the same port (SO_REUSEPORT), and the kernel spreads connections over them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named so that the event loop recognises TCP and turns Nagle's algorithm off.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Accepted sockets inherit these.
    for level, option, value in _ACCEPTED:
        if hasattr(socket, option):
            sock.setsockopt(level, getattr(socket, option), value)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise DeclarationError(
            f"port {port} on {host} cannot be used ({error.strerror}); end what listens there, "
            "or choose another with BFF_HOST and BFF_PORT, or BFF_ADMIN_HOST and BFF_ADMIN_PORT"
        ) from None
    return sock


def with_file_limit(settings: Settings) -> Settings:
    """Raise the limit of open files, often 1,024, to what the connections need, as far as the system allows. If that is
    too little, fewer connections are accepted: further ones are answered 503 instead of waiting. A warning is logged if
    the number of connections was set, or fewer than FEW are left."""
    wanted = settings.http.connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted + FILES if hard == resource.RLIM_INFINITY else min(wanted + FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    room = max(1, most - min(FILES, most // 2))
    if room >= wanted:
        return settings
    if "connections" in settings.http.model_fields_set or room < FEW:
        log.warning(
            "at most %d connections are taken at once, not %d: this process may open %d files; raise the limit "
            "(ulimit -n, LimitNOFILE=), or lower BFF_HTTP__CONNECTIONS",
            *(room, wanted, most),
        )
    return settings.model_copy(update={"http": settings.http.model_copy(update={"connections": room})})


def linger_of(settings: Settings, terminal: bool) -> float:
    """Seconds; by default 0 at a terminal, where a person waits, else `LINGER`."""
    default = 0.0 if terminal else LINGER
    return default if settings.http.linger is None else settings.http.linger


def _config(
    app: ASGIApp, settings: Settings, admission: Admission | None = None, bodies: BodyBounds | None = None
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=partial(HttpProtocol, settings=settings, admission=admission, bodies=bodies),  # type: ignore[arg-type]  # it is called like the class it makes
        ws="none",
        lifespan="off",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.http.keep_alive,
        timeout_graceful_shutdown=GRACE,
        backlog=2048,
    )


class AdminServer(uvicorn.Server):
    """The server of an admin port."""

    async def serve_on(self, listener: socket.socket) -> None:
        """Serve until `should_exit`. Handles no signals, as `serve` would: those belong to another server."""
        await self._serve(sockets=[listener])


def admin_server(app: ASGIApp, settings: Settings) -> AdminServer:
    """The server of an admin port, for `app`."""
    return AdminServer(_config(app, settings))


async def run(
    gateway: Gateway,
    settings: Settings,
    app: ASGIApp | None = None,
    ready: Callable[[], None] = lambda: None,
    listeners: tuple[socket.socket, socket.socket] | None = None,
    control: Callable[[Server, App], Coroutine[None, None, None]] | None = None,
) -> None:
    """Serve on the running loop until a signal.

    app        the application in front of the gateway, which passes on what it does not answer itself; default: none
    ready      called once connections are accepted
    listeners  the public and the admin socket, where another process has opened them; default: opened here
    control    runs beside the server, and is cancelled when the server has ended and before the gateway is stopped
    """
    public, admin = listeners or (
        listen(settings.host, settings.port),
        listen(settings.admin_host, settings.admin_port),
    )
    runtime = await gateway.start(settings)
    server = Server(
        _config(app or gateway, settings, runtime.admission, runtime.bodies),
        runtime,
        ready,
        linger_of(settings, sys.stdin is not None and sys.stdin.isatty()),
    )
    private = admin_server(runtime.admin, settings)
    log.info("serving %s on http://%s:%s", gateway.name, *public.getsockname()[:2])
    # The objects that exist now live as long as the process: the garbage collector need not traverse them each time.
    gc.collect()
    gc.freeze()
    # The default collects the youngest objects every 700 allocations: in almost every request, a fifth of its CPU.
    gc.set_threshold(20_000, 20, 50)
    try:
        async with asyncio.TaskGroup() as group:
            second = group.create_task(private.serve_on(admin))
            watch = group.create_task(_stop_if_dead(runtime, server))
            memory = group.create_task(MemoryWatch().run(), name="bff-memory")
            beside = [watch, memory]
            if control is not None:
                beside.append(group.create_task(control(server, runtime), name="bff-control"))
            await server.serve(sockets=[public])
            for task in beside:
                task.cancel()
            private.should_exit = True
            await second
        dead = runtime.health.dead()
    finally:
        await gateway.stop()
    if dead:
        # Not every supervisor checks /livez; all of them check the exit code.
        raise SystemExit(1)


async def _stop_if_dead(runtime: App, server: Server) -> None:
    """End the server when a bug has ended a part of the gateway."""
    while not runtime.health.dead():  # noqa: ASYNC110 - tasks end without an event
        await asyncio.sleep(1.0)
    log.critical("%s ended by a fault: this process ends, too", ", ".join(runtime.health.dead()))
    server.should_exit = True


def serve(gateway: Gateway, settings: Settings) -> None:
    """Serve until a signal. Raises DeclarationError when it cannot start."""
    log_to_stderr(settings.telemetry)
    settings = with_file_limit(settings)
    with asyncio.Runner(loop_factory=_config(gateway, settings).get_loop_factory()) as runner:
        runner.run(run(gateway, settings))
