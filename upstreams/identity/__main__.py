"""`python -m upstreams.identity`: serve identity on HOST and PORT (8101) until SIGTERM."""

from __future__ import annotations

import uvicorn

from upstreams.kit.logs import configure_logs

from . import Identity, IdentitySettings


def main() -> None:
    settings = IdentitySettings()
    configure_logs("identity", settings.log_level)
    uvicorn.run(
        Identity(settings).app(),
        host=settings.host,
        port=8101 if settings.port is None else settings.port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
