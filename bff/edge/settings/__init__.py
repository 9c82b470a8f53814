"""Settings, checked as a whole before anything starts: `gateway.py` has all of them and where they come from."""

from __future__ import annotations

from .gateway import (
    AdmissionSettings,
    IdempotencySettings,
    LimitSettings,
    LiveSettings,
    Settings,
    TelemetrySettings,
    load,
)
from .identity import DpopSettings, IntrospectionSettings, IssuerSettings, OidcSettings, SessionSettings
from .redis import RedisSettings
from .sources import SettingsError

__all__ = [
    "AdmissionSettings",
    "DpopSettings",
    "IdempotencySettings",
    "IntrospectionSettings",
    "IssuerSettings",
    "LimitSettings",
    "LiveSettings",
    "OidcSettings",
    "RedisSettings",
    "SessionSettings",
    "Settings",
    "SettingsError",
    "TelemetrySettings",
    "load",
]
