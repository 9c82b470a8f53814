"""Events as services publish them: CloudEvents in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping


def cloud_event(kind: str, subject: str, version: int, data: Mapping[str, object], **more: str) -> bytes:
    """kind: `shop.order.status`. subject, version: of the saga or value. more: further attributes."""
    event = {
        "specversion": "1.0",
        "id": f"{subject}:{version}",
        "source": f"/services/{kind.split('.')[1]}",
        "type": kind,
        "subject": subject,
        "sequence": str(version),
        **more,
        "data": data,
    }
    return json.dumps(event).encode()
