"""A part that a view passes on is printed as it was checked; a part that it uses is a model like any other."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, Field, SerializeAsAny, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticSerializationError

from bff import Call, Part, Raw, Ready, Stale, Upstream
from bff.calls import Invalid
from bff.calls.codec import codec_of, encode
from bff.calls.codec.lazy import LazyModel, filled, lazy_of
from bff.transport.response import decode
from bff.transport.wire import WireResponse


class Supplier(BaseModel):
    name: str
    city: str = "?"


class Product(BaseModel):
    """A thing that is sold."""

    sku: str
    price: float
    supplier: Supplier
    tags: list[str] = []
    note: str | None = Field(None, alias="Note")

    @property
    def label(self) -> str:
        return f"{self.sku} of {self.supplier.name}"


BODY = b'{"price":12,"secret":1,"supplier":{"name":"A"},"sku":"s1"}'
PRINTED = b'{"sku":"s1","price":12.0,"supplier":{"name":"A","city":"?"},"tags":[],"Note":null}'


class Catalog(Upstream, team="Catalog", contact="#catalog"):
    def product(self, sku: str) -> Call[Product]:
        return self.get("/products/{sku}", Product, sku=sku)


def lazy(body: bytes = BODY) -> Product:
    made = codec_of(Product).decode_lazily(body)
    assert is_lazy(made)
    return made


def plain() -> Product:
    return codec_of(Product).decode(BODY)


def is_lazy(value: object) -> bool:
    return lazy_of(value) is not None


class Screen(BaseModel):
    title: str
    product: Product
    other: Product | None = None
    part: Part[Product] | None = None
    parts: list[Part[Product]] = []
    products: list[Product] = []
    raw: Raw | None = None


def screen(make: Callable[[], Product]) -> Screen:
    return Screen(
        title="x",
        product=make(),
        other=make(),
        part=Ready(data=make()),
        parts=[Ready[Product](data=make()), Stale(data=make(), age=1.5)],
        products=[make(), plain(), make()],
        raw=Raw(b"[1.0]"),
    )


def leaves_of(made: Screen) -> list[Product]:
    parts = [made.part, *made.parts]
    data = [part.data for part in parts if isinstance(part, Ready | Stale)]
    return [made.product, *([made.other] if made.other else []), *data, made.products[0], made.products[2]]


def test_an_answer_of_a_service_is_lazy_and_prints_only_what_is_declared() -> None:
    response = WireResponse(200, {"content-type": "application/json"}, BODY)
    found = decode(Catalog().product("s1"), response)
    assert codec_of(Product).encode(found) == PRINTED
    assert is_lazy(found)


def test_a_screen_is_printed_without_using_its_parts() -> None:
    made = screen(lazy)
    assert len(leaves_of(made)) == 7
    printed = codec_of(Screen).encode(made)
    assert all(map(is_lazy, leaves_of(made)))
    assert printed == codec_of(Screen).encode(screen(plain))
    assert printed.count(PRINTED) == 8


@pytest.mark.parametrize("used", range(7))
def test_a_part_that_was_used_is_printed_with_its_changes(used: int) -> None:
    made, expected = screen(lazy), screen(plain)
    for one in (made, expected):
        leaves_of(one)[used].tags.append("changed")
    assert codec_of(Screen).encode(made) == codec_of(Screen).encode(expected)
    assert [is_lazy(leaf) for leaf in leaves_of(made)] == [place != used for place in range(7)]


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (Product, lambda one: one),
        (Product | None, lambda one: one),
        (list[Product], lambda one: [one, one]),
        (dict[str, Product], lambda one: {"a": one}),
        (tuple[Product, ...], lambda one: (one,)),
        (list[Supplier | Product], lambda one: [one]),
        (list[Part[Product]], lambda one: [Ready[Product](data=one)]),
        (list[list[Product]], lambda one: [[one]]),
        (Any, lambda one: {"a": [one]}),
        (SerializeAsAny[BaseModel], lambda one: one),
    ],
)
def test_a_part_is_printed_alike_wherever_it_is(declared: Any, value: Callable[[Product], Any]) -> None:
    assert codec_of(declared).encode(value(lazy())) == codec_of(declared).encode(value(plain()))


@pytest.mark.parametrize(
    "use",
    [
        lambda one: one.sku,
        lambda one: one.label,
        lambda one: one.__dict__,
        lambda one: one.model_dump(),
        lambda one: one.model_dump_json(by_alias=True),
        lambda one: one.model_copy(update={"sku": "2"}),
        lambda one: one.model_fields_set,
        lambda one: one.__class__,
        lambda one: repr(one),
        lambda one: str(one),
        lambda one: list(one),
        lambda one: one == plain(),
        lambda one: plain() == one,
        lambda one: one == lazy(),
        lambda one: one != lazy(),
        lambda one: copy.copy(one),
        lambda one: copy.deepcopy(one),
        lambda one: copy.deepcopy({"a": [one, one]}),
        lambda one: pickle.loads(pickle.dumps(one)),
        lambda one: [getattr(one, name, None) for name in ("missing", "__hash__", "price")],
        lambda one: one.supplier.__setattr__("name", "B"),
        lambda one: setattr(one, "sku", "B"),
        lambda one: delattr(one, "sku"),
        lambda one: Product.model_validate(one).sku,
        lambda one: Product.model_validate(one, from_attributes=True).sku,
        lambda one: TypeAdapter(Product).dump_python(one),
        lambda one: TypeAdapter(Product).dump_json(one),
        lambda one: TypeAdapter(Any).dump_json(one),
        lambda one: TypeAdapter(list[Supplier | Product]).dump_json([one]),
        lambda one: TypeAdapter(SerializeAsAny[BaseModel]).dump_json(one),
        lambda one: isinstance(one, Product) and not isinstance(one, Supplier),
        lambda one: bool(one),
        lambda one: type(one).__name__ + type(one).__qualname__ + type(one).__module__ + (type(one).__doc__ or ""),
        lambda one: encode(one, exclude_unset=True),
        lambda one: encode({"a": one}),
        lambda one: encode({"a": one}, exclude_unset=True),
        lambda one: codec_of(Product).encode(one, include={"sku"}),
        lambda one: codec_of(Product).encode(one, exclude_unset=True),
        lambda one: codec_of(Product).tree(one),
        lambda one: codec_of(Screen).tree(Screen(title="", product=one)),
        lambda one: codec_of(Screen).encode(Screen(title="", product=one, products=[one]), exclude_unset=True),
        lambda one: hash(one),
        lambda one: one.missing,
    ],
)  # fmt: skip
def test_whatever_uses_a_part_finds_the_model_itself(use: Callable[[Product], Any]) -> None:
    one, other = lazy(), plain()
    assert outcome(use, one) == outcome(use, other)
    filled(one)
    assert type(one) is Product and (one, vars(one)) == (other, vars(other))
    assert one.model_fields_set == other.model_fields_set
    assert one.model_extra is None and one.__pydantic_private__ is None


def outcome(use: Callable[[Product], Any], one: Product) -> Any:
    try:
        found = use(one)
    except Exception as error:
        return type(error), str(error)
    assert type(found) is type(filled(found))
    return found


def test_an_answer_that_may_be_missing_is_lazy_too() -> None:
    codec = codec_of(Product | None)
    assert codec.decode_lazily(b"null") is None
    found = codec.decode_lazily(BODY)
    assert codec.encode(found) == PRINTED and is_lazy(found)


def test_setting_and_deleting_at_once_change_a_filled_model() -> None:
    one, other, third = lazy(), lazy(), lazy()
    one.sku = "changed"
    assert (type(one), one.sku, one.price, one.model_fields_set) == (
        Product,
        "changed",
        12.0,
        plain().model_fields_set,
    )
    del other.sku
    assert "sku" not in other.__dict__ and other.price == 12.0
    copied = copy.deepcopy([third, third])
    assert copied[0] is copied[1] and copied[0] is not third and type(copied[0]) is Product
    assert copied == [plain(), plain()]


def test_values_of_two_callers_are_their_own() -> None:
    one, other = lazy(), lazy()
    one.tags.append("mine")
    assert (other.tags, lazy().tags) == ([], [])


def test_threads_that_use_a_part_at_once_find_one_value() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(50):
            one, ready = lazy(), threading.Barrier(4)
            found: list[Any] = []

            def use(one: Product = one, ready: threading.Barrier = ready, found: list[Any] = found) -> None:
                ready.wait(10)
                found.append(one.tags)

            threads = [threading.Thread(target=use) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
            assert len(found) == 4 and all(tags is one.tags for tags in found)
    finally:
        sys.setswitchinterval(interval)


def test_a_model_that_derives_or_lists_the_part_is_checked_as_before() -> None:
    class Shelf(BaseModel):
        product: Product

    with pytest.raises(ValidationError):
        Shelf(product=codec_of(Supplier).decode_lazily(b'{"name":"x"}'))
    one = lazy()
    assert Shelf(product=one).product is one and is_lazy(one)


@dataclass
class Pair:
    product: Product


def test_a_dataclass_may_hold_a_part() -> None:
    assert codec_of(Pair).encode(Pair(lazy())) == b'{"product":' + PRINTED + b"}"


@pytest.mark.parametrize("wrong", [{"sku": "x"}, "text", Supplier(name="x"), 1])
def test_a_value_of_another_type_at_the_place_of_a_part_is_not_printed(wrong: Any) -> None:
    codec = codec_of(Screen)
    for made in (
        Screen.model_construct(title="x", product=wrong),
        Screen.model_construct(title="x", product=plain(), products=[lazy(), wrong]),
        Screen.model_construct(title="x", product=plain(), part=Ready[Product].model_construct(data=wrong)),
    ):
        with pytest.raises(PydanticSerializationError):
            codec.encode(made)


def test_items_of_another_type_are_not_printed() -> None:
    wrong: Any = [1, 2]
    made = Screen.model_construct(title="x", product=plain(), products=wrong)
    with pytest.raises(PydanticSerializationError):
        codec_of(Screen).encode(made)


def test_nan_that_a_view_put_into_a_part_is_not_printed() -> None:
    one = lazy()
    one.price = float("nan")
    for made in (Screen(title="x", product=one), Screen(title="x", product=plain(), products=[lazy(), one])):
        with pytest.raises(ValueError, match="NaN"):
            codec_of(Screen).encode(made)
    one.sku, one.price = "NaN", 1.0
    assert b'"sku":"NaN"' in codec_of(Screen).encode(Screen(title="x", product=one))


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"null", b"[]", b'{"sku":1}', b'{"sku":"s","price":true,"supplier":{"name":"x"}}', b"\xff", BODY + b"x",
        BODY[:-1], BODY.replace(b"1,", b"NaN,"), BODY.replace(b"12", b"9007199254740993"),
    ],
)  # fmt: skip
def test_an_answer_that_does_not_fit_says_what_it_said(body: bytes) -> None:
    response = WireResponse(200, {"content-type": "application/json"}, body)
    with pytest.raises(ValueError) as plainly:
        codec_of(Product).decode(body)
    with pytest.raises(ValueError) as lazily:
        codec_of(Product).decode_lazily(body)
    assert str(lazily.value) == str(plainly.value)
    with pytest.raises(Invalid):
        decode(Catalog().product("s1"), response)


def test_half_a_surrogate_pair_is_replaced_and_counted() -> None:
    counted: list[int] = []
    body = BODY.replace(b"s1", b"\\ud800").replace(b"secret", b"\\udc00")
    found = codec_of(Product).decode_lazily(body, counted.append)
    assert (found.sku, counted) == ("�", [2])


def test_a_part_that_was_used_lets_its_body_go() -> None:
    one = lazy()
    maker = lazy_of(one)
    assert isinstance(maker, LazyModel) and maker.passed_on(one) == PRINTED
    assert one.sku == "s1" and maker.passed_on(one) is None and one.__pydantic_private__ is None
