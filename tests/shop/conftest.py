from __future__ import annotations

from collections.abc import Iterator

import pytest

from .system import Shop, running


@pytest.fixture(scope="session")
def shop_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with running(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture
def shop(shop_session: Shop) -> Iterator[Shop]:
    """The shop that all tests share; it is repaired after each test."""
    yield shop_session
    for name, program in shop_session.world.programs.items():
        if program.process.poll() is not None:
            shop_session.world.start(name)
    shop_session.world.calm()
    if shop_session.gateway is None or shop_session.gateway.process.poll() is not None:
        shop_session.start_gateway()
