"""What can only be seen with the gateway and its settings side by side."""

from __future__ import annotations

from ..edge.gateway import Gateway
from ..edge.settings import Settings


def mistakes(gateway: Gateway, settings: Settings) -> list[str]:
    """One line for each mistake, naming the declaration or the variable to correct."""
    found: list[str] = []
    known = {upstream.owner.service: upstream for upstream in gateway.upstreams()}
    for service, upstream in known.items():
        if service not in settings.upstreams:
            found.append(
                f"upstream {type(upstream).__name__} ({upstream.owner.team}) has no address: "
                f"set BFF_UPSTREAMS__{service.upper()}__URL"
            )
    for service in settings.upstreams:
        if service not in known:
            found.append(
                f"BFF_UPSTREAMS__{service.upper()}: this gateway has no such upstream; it has "
                + (", ".join(sorted(known)) or "none")
            )
    private = [view.path for view in gateway.views.values() if not view.public] + list(gateway.commands)
    if private and not settings.issuers and settings.oidc is None:
        found.append(
            f"nobody could ever sign in for {private[0]}: set BFF_ISSUERS for bearer tokens or BFF_OIDC__… for browsers"
        )
    if gateway.sagas and not settings.live.stream_keys:
        found.append(
            "no events would ever arrive for saga "
            f"{next(iter(gateway.sagas))!r}: set BFF_LIVE__STREAM_KEYS, for example "
            '["events:orders:{p}"]'
        )
    return found
