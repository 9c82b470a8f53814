"""The garbage collector is paused for imports only."""

from __future__ import annotations

import gc

import pytest

from bff.cli import collector


def test_nothing_is_collected_inside_and_it_goes_on_afterwards_even_after_an_error() -> None:
    assert gc.isenabled()
    with pytest.raises(ImportError), collector.paused():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collector.paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
