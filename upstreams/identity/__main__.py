"""`python -m upstreams.identity`: serve identity on SHOP_HOST and SHOP_PORT (8101) until SIGTERM."""

from __future__ import annotations

import uvicorn
from bff_service import configure_logs

from . import Identity, IdentitySettings


def main() -> None:
    settings = IdentitySettings()
    configure_logs("identity", settings.log_level)
    uvicorn.run(
        Identity(settings).app(),
        host=settings.host,
        port=settings.own_port if settings.port is None else settings.port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
