"""A service's answer passed on whole: checked to be JSON, not parsed into values, and copied into the screen unchanged.

Using `Raw` as a model needs a review, and `bff routes` lists it: every browser sees what the service adds later. The
bytes must be JSON in UTF-8 (RFC 8259), not nested deeper than 200, and without NaN and Infinity, so that a screen
around them is always valid JSON. An escaped lone surrogate is accepted.
"""

from __future__ import annotations

import secrets
from typing import Any, NoReturn

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, SchemaValidator, core_schema, from_json, to_json

from .json_text import refuse_constants, without_lone_surrogates

# None of these builds Python objects: 8 µs for 2 KB, `json.loads` takes 13. The whole input is parsed in Rust first;
# then the keys of a dict are ignored, and the items of a generator are never read.
_OBJECT = SchemaValidator(core_schema.typed_dict_schema({}, extra_behavior="ignore"))
_ARRAY = SchemaValidator(core_schema.generator_schema())
_OTHER = SchemaValidator(core_schema.any_schema())

# Marks the place of a body in a screen until the body is inserted. It is random and never leaves this process, so that
# no data can contain it.
_MARK = secrets.token_hex(16)
_QUOTED_MARK = f'"{_MARK}'.encode()


class Raw:
    """A body that is JSON. Two are equal when their bytes are equal.

    class Reviews(Upstream, team="Reviews", contact="#reviews"):
        def of(self, sku: str) -> Call[Raw]:
            return self.get("/reviews/{sku}", Raw, sku=sku)

    `Raw(body)` raises a ValueError that says why the body is not accepted.
    """

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        _check(body)
        self.body = body

    def value(self) -> Any:
        """The JSON as Python objects, for a view that has to read it. Lone surrogates become U+FFFD."""
        return from_json(without_lone_surrogates(self.body)[0])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Raw) and self.body == other.body

    def __hash__(self) -> int:
        return hash(self.body)

    def __repr__(self) -> str:
        return f"Raw({len(self.body)} bytes)"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_plain_validator_function(_inside),
            python_schema=core_schema.no_info_plain_validator_function(_given),
            serialization=core_schema.plain_serializer_function_ser_schema(_written, info_arg=True),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"description": "The service's own JSON, passed on whole."}


class Splices(list[bytes]):
    """The bodies to insert into a screen: pass one as `context` to pydantic's serializer, then call `fill` with its
    output. secrets: True writes secrets in plain text, default False: asterisks; exclude_unset: True leaves out fields
    of models that were never set, default False."""

    secrets = False
    exclude_unset = False

    def put(self, body: bytes) -> str:
        """Add a body; returns the mark for its place until `fill`."""
        self.append(body)
        return f"{_MARK}{len(self) - 1}"

    def fill(self, written: bytes) -> bytes:
        """`written` with each mark replaced by its body."""
        if not self:
            return written
        first, *rest = written.split(_QUOTED_MARK)
        pieces = [first]
        for piece in rest:
            number, _, after = piece.partition(b'"')
            pieces += (self[int(number)], after)
        return b"".join(pieces)


def _check(body: bytes) -> None:
    start = body.lstrip(b" \t\r\n")[:1]
    checker = _OBJECT if start == b"{" else _ARRAY if start == b"[" else _OTHER
    try:
        checker.validate_json(body)
        # The parser above accepts NaN and Infinity as numbers, RFC 8259 does not. Inside a string they are allowed.
        refuse_constants(body)
    except ValidationError as error:
        whole, lone = without_lone_surrogates(body)
        if lone:
            _check(whole)
            return
        raise ValueError(error.errors(include_input=False, include_url=False)[0]["msg"]) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _inside(value: Any) -> NoReturn:
    # The parser has already turned the bytes into objects, so that a number such as 1.0 or 1e400 is not as it was sent.
    raise ValueError("Raw is the model of a whole answer, not of a part inside one")


def _given(value: Any) -> Raw:
    """A value made by a test or a view: bytes are the body, anything else is written as JSON."""
    if isinstance(value, Raw):
        return value
    return Raw(value if isinstance(value, bytes) else to_json(value))


def _written(value: Any, info: core_schema.SerializationInfo) -> Any:
    if not isinstance(value, Raw):
        raise TypeError(f"declared as Raw, but it is {type(value).__name__}")
    splices = info.context
    if info.mode == "json" and isinstance(splices, Splices):
        return splices.put(value.body)
    return value.value()
