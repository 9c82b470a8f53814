"""Bytes and CPU time of each content coding, for screens of 10 kB and 200 kB, with the gateway's compressors and other
levels of the same libraries. CPU time of the process, the least of several rounds; each result is decoded and compared.
"""

from __future__ import annotations

import json
import random
import time
import zlib
from collections.abc import Callable
from typing import Any

import brotli  # type: ignore[import-untyped]  # it has no types
import zstandard

from bff.edge.http.compression import Compressor, installed

SIZES = (10_000, 200_000)
ROUNDS, TIMES = 5, 3_000_000
WORDS = (
    *(
        "mug",
        "teapot",
        "lamp",
        "blanket",
        "notebook",
        "pen",
        "brass",
        "oak",
        "wool",
        "stoneware",
        "walnut",
        "linen",
    ),
    *(
        "thread",
        "warm",
        "quiet",
        "reading",
        "kitchen",
        "living",
        "desk",
        "holds",
        "pours",
        "turned",
        "woven",
        "bound",
    ),
    *("solid", "undyed", "glazed", "dims", "lies", "flat", "opens", "ages", "drop", "litre", "strainer"),
)


def screen(size: int) -> bytes:
    """A list of products of about this size, as JSON: names and texts repeat words, ids and prices do not."""
    chance = random.Random(7)
    items: list[dict[str, Any]] = []
    length = 0
    while length < size:
        item = {
            "sku": f"{chance.choice(WORDS)}-{chance.randrange(10**6):06}",
            "name": " ".join(chance.sample(WORDS, 2)).capitalize(),
            "description": " ".join(chance.choices(WORDS, k=chance.randrange(6, 18))).capitalize() + ".",
            "price_cents": chance.randrange(100, 99_999),
            "stock": {
                "state": "ready",
                "data": {"level": chance.randrange(500), "version": chance.randrange(10**5)},
            },
        }
        items.append(item)
        length += len(json.dumps(item)) + 1
    return json.dumps({"products": items}, separators=(",", ":")).encode()


def table() -> str:
    """A row for each coding and level."""
    ways: dict[str, Callable[[], Compressor]] = {
        f"**{coding}**, as the gateway": make for coding, make in installed().items()
    }
    ways |= {f"gzip {level}": lambda level=level: zlib.compressobj(level, wbits=31) for level in (1, 6, 9)}
    ways |= {f"br {quality}": lambda quality=quality: _Brotli(quality) for quality in (1, 3, 5, 9)}
    ways |= {
        f"zstd {level}": lambda level=level: zstandard.ZstdCompressor(level=level).compressobj()
        for level in (1, 6, 9)
    }
    lines = [
        "| coding and level | " + " | ".join(f"{size // 1000} kB: bytes | CPU µs" for size in SIZES) + " |",
        "|---|" + "---|---|" * len(SIZES),
    ]
    for name, make in ways.items():
        cells = []
        for size in SIZES:
            data = screen(size)
            packed, cost = _measured(make, data)
            if _decoded(packed) != data:
                raise RuntimeError(f"{name} does not give the screen back")
            cells += [f"{len(packed):,}", f"{cost * 1e6:,.0f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


class _Brotli:
    def __init__(self, quality: int) -> None:
        self._compressor = brotli.Compressor(quality=quality)

    def compress(self, data: bytes, /) -> bytes:
        return bytes(self._compressor.process(data))

    def flush(self) -> bytes:
        return bytes(self._compressor.finish())


def _measured(make: Callable[[], Compressor], data: bytes) -> tuple[bytes, float]:
    times = max(1, TIMES // len(data))
    packed, least = b"", float("inf")
    for _ in range(ROUNDS):
        begin = time.process_time()
        for _ in range(times):
            compressor = make()
            packed = compressor.compress(data) + compressor.flush()
        least = min(least, (time.process_time() - begin) / times)
    return packed, least


def _decoded(packed: bytes) -> bytes:
    if packed.startswith(b"\x1f\x8b"):
        return zlib.decompress(packed, 31)
    if packed.startswith(b"\x28\xb5\x2f\xfd"):
        return bytes(zstandard.ZstdDecompressor().decompressobj().decompress(packed))
    return bytes(brotli.decompress(packed))
