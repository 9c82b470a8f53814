"""Descriptions of services become Python: which types, names and notes; what is refused; and nothing of a description
can become code."""

from __future__ import annotations

import ast
import json
import keyword
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bff import DeclarationError
from bff.cli.from_openapi import Choices, write
from bff.cli.from_openapi.document import MAX_BYTES, Document, read
from bff.cli.from_openapi.naming import identifier, plain
from bff.cli.from_openapi.writer import source

DESCRIPTIONS = Path(__file__).parent / "descriptions"
OWNED = Choices(team="Pets", contact="#pets")


def described(
    paths: dict[str, Any] | None = None, schemas: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A description of one operation, or of these."""
    nothing = {"get": {"operationId": "ping", "responses": {"204": {"description": ""}}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Store", "version": "1"},
        "paths": {"/ping": nothing} if paths is None else paths,
        "components": {"schemas": schemas or {}},
        **more,
    }


def written(description: dict[str, Any], choices: Choices = OWNED) -> str:
    return source(Document(description, "store.json"), choices).text


def model_of(schema: dict[str, Any], schemas: dict[str, Any] | None = None) -> str:
    """The type of a member with this schema."""
    holder = {"type": "object", "required": ["x"], "properties": {"x": schema}}
    found = written(described({"/x": answering("Holder")}, {"Holder": holder, **(schemas or {})}))
    (line,) = (line for line in found.splitlines() if line.startswith("    x: "))
    return line.removeprefix("    x: ")


def answering(name: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {
        "get": {
            "operationId": "x",
            "responses": {"200": {"content": {"application/json": {"schema": schema}}}},
        }
    }


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "str"),
        ({"type": "string", "format": "date-time"}, "datetime.datetime"),
        ({"type": "string", "format": "date"}, "datetime.date"),
        ({"type": "string", "format": "time"}, "datetime.time"),
        ({"type": "string", "format": "duration"}, "datetime.timedelta"),
        ({"type": "string", "format": "uuid"}, "UUID"),
        ({"type": "string", "format": "uri"}, "str"),
        ({"type": "integer", "minimum": 3}, "int"),
        ({"type": "number"}, "float"),
        ({"type": "number", "format": "decimal"}, "Decimal"),
        ({"type": "boolean", "nullable": True}, "bool | None"),
        ({"type": ["string", "integer", "null"]}, "str | int | None"),
        ({"type": "array", "items": {"type": "string"}}, "list[str]"),
        ({"type": "array"}, "list[Any]"),
        ({"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False}, "tuple[str, int]"),
        ({"type": "object"}, "dict[str, Any]"),
        ({"additionalProperties": {"type": "integer"}}, "dict[str, int]"),
        ({}, "Any"),
        ({"enum": ["a", "b"]}, "Literal['a', 'b']"),
        ({"enum": ["a", None]}, "Literal['a'] | None"),
        ({"enum": [1, True]}, "Literal[1, True]"),
        ({"enum": [1.5, 2]}, "float"),
        ({"const": "a"}, "Literal['a']"),
        ({"enum": ["'\"\n\\"]}, "Literal['\\'\"\\n\\\\']"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "str | None"),
        ({"oneOf": [{"type": "integer"}, {"type": "integer"}]}, "int"),
        ({"anyOf": [{"type": "integer"}, {}]}, "Any"),
        ({"allOf": [{"type": "integer"}], "description": "how many"}, "int"),
        ({"$ref": "#/components/schemas/Holder"}, "Holder"),
        ({"$ref": "#/components/schemas/Holder", "nullable": True}, "Holder | None"),
        ({"not": {"type": "string"}}, "Any"),
    ],
)
def test_a_schema_is_a_type(schema: dict[str, Any], expected: str) -> None:
    assert model_of(schema) == expected


def test_a_union_is_read_by_its_discriminator_where_each_model_tells_which_it_is() -> None:
    def kind(*names: str) -> dict[str, Any]:
        return {"type": "object", "required": ["kind"], "properties": {"kind": {"enum": [*names]}}}

    union = {
        "oneOf": [{"$ref": "#/components/schemas/A"}, {"$ref": "#/components/schemas/B"}],
        "discriminator": {"propertyName": "kind"},
    }
    told = model_of(union, {"A": kind("a"), "B": kind("b", "c")})
    assert told == "Annotated[A | B, Field(discriminator='kind')]"
    assert model_of(union, {"A": kind("a"), "B": kind("a")}) == "A | B"
    optional = {**kind("b"), "required": []}
    assert model_of(union, {"A": kind("a"), "B": optional}) == "A | B"


def test_allof_joins_members_and_an_alternative_beside_them_leaves_the_model_open() -> None:
    base = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}
    more = {"type": "object", "properties": {"name": {"type": "string"}}}
    joined = {"allOf": [{"$ref": "#/components/schemas/Base"}, more]}
    text = written(described({"/x": answering("Joined")}, {"Base": base, "Joined": joined}))
    assert "class Joined(BaseModel):\n    id: int\n    name: str | None = None\n" in text
    assert "class Base" not in text
    joined["allOf"].append({"oneOf": [{"type": "object"}, {"type": "object"}]})
    text = written(described({"/x": answering("Joined")}, {"Base": base, "Joined": joined}))
    assert 'model_config = ConfigDict(extra="allow")' in text


def test_members_that_only_one_direction_has_may_be_missing_and_defaults_are_kept() -> None:
    member = {"type": "string"}
    text = written(
        described(
            {"/x": answering("A")},
            {
                "A": {
                    "type": "object",
                    "required": ["read", "write", "both"],
                    "properties": {
                        "read": {**member, "readOnly": True},
                        "write": {**member, "writeOnly": True},
                        "both": member,
                        "size": {"type": "integer", "default": 3},
                        "share": {"type": "number", "default": 1},
                        "state": {"enum": ["on", "off"], "default": "on"},
                        "wrong": {"type": "integer", "default": "three"},
                        "at": {"type": "string", "format": "date", "default": "2026-01-01"},
                    },
                }
            },
        )
    )
    for line in (
        "read: str | None = None",
        "write: str | None = None",
        "both: str",
        "size: int = 3",
        "share: float = 1.0",
        "state: Literal['on', 'off'] = 'on'",
        "wrong: int | None = None",
        "at: datetime.date | None = None",
    ):
        assert f"    {line}\n" in text


@pytest.mark.parametrize(
    ("parameters", "declared", "sent"),
    [
        ([{"name": "a", "in": "query"}], "*, a: str | None = None", "a=a"),
        ([{"name": "a", "in": "query", "required": True}], "a: str", "a=a"),
        ([{"name": "a-b", "in": "query"}], "*, a_b: str | None = None", "**{'a-b': a_b}"),
        ([{"name": "class", "in": "query"}], "*, class_: str | None = None", "**{'class': class_}"),
        ([{"name": "list", "in": "query"}], "*, list_: str | None = None", "list=list_"),
        ([{"name": "self", "in": "query"}], "*, self_: str | None = None", "self=self_"),
        (
            [{"name": "a", "in": "query", "schema": {"type": "array", "items": {"type": "integer"}}}],
            "*, a: list[int] | None = None",
            "a=a",
        ),
        (
            [{"name": "a", "in": "query", "explode": False, "required": True, "schema": {"type": "array"}}],
            "a: list[Any]",
            'a=",".join(map(str, a))',
        ),
        (
            [{"name": "a", "in": "query", "style": "deepObject", "required": True, "schema": {}}],
            "a: dict[str, Any]",
            "**{f'a[{name}]': value for name, value in a.items()}",
        ),
        (
            [{"name": "a", "in": "query", "schema": {"type": "object"}}],
            "*, a: dict[str, Any] | None = None",
            "**(a or {})",
        ),
        (
            [{"name": "a", "in": "query", "content": {"application/json": {}}}],
            "*, a: str | None = None",
            "a=a",
        ),
    ],
)
def test_parameters_of_the_query_are_arguments(
    parameters: list[dict[str, Any]], declared: str, sent: str
) -> None:
    operation = {"operationId": "find", "parameters": parameters, "responses": {"204": {"description": ""}}}
    text = written(described({"/x": {"get": operation}}))
    assert f"def find(self, {declared}) -> Call[None]:" in text
    assert f"return self.get('/x', None, {sent})" in text


def test_a_parameter_of_the_query_never_fills_the_path() -> None:
    parameters = [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
        {"name": "id", "in": "query", "schema": {"type": "string"}},
    ]
    operation = {"operationId": "find", "parameters": parameters, "responses": {"204": {"description": ""}}}
    text = written(described({"/x/{id}": {"get": operation}}))
    assert "def find(self, id_in_path: int, *, id: str | None = None)" in text
    assert "self.get('/x/{id_in_path}', None, id_in_path=id_in_path, id=id)" in text


def test_headers_are_sent_by_header_and_those_of_the_gateway_are_noted() -> None:
    parameters = [
        {"name": "X-Count", "in": "header", "schema": {"type": "integer"}},
        {"name": "Accept-Language", "in": "header", "required": True},
        {"name": "Authorization", "in": "header"},
        {"name": "If-Match", "in": "header", "required": True},
        {"name": "theme", "in": "cookie"},
    ]
    operation = {"operationId": "find", "parameters": parameters, "responses": {"204": {"description": ""}}}
    text = written(described({"/x": {"get": operation}}))
    assert "def find(self, Accept_Language: str, *, X_Count: int | None = None) -> Call[None]:" in text
    assert ".header('X-Count', None if X_Count is None else str(X_Count))" in text
    assert ".header('Accept-Language', Accept_Language)" in text
    assert "The header If-Match, which the service requires, is not an argument" in text
    assert "The cookie theme is not sent" in text
    assert "Authorization" not in text


@pytest.mark.parametrize(
    ("content", "declared", "sent"),
    [
        ({"application/json": {"schema": {"type": "integer"}}}, "int", "Json(body, exclude_unset=True)"),
        (
            {"application/merge-patch+json": {"schema": {}}},
            "Any",
            "Json(body, exclude_unset=True, media_type='application/merge-patch+json')",
        ),
        (
            {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}},
            "dict[str, Any]",
            "Form(body)",
        ),
        ({"text/plain": {}}, "str", "Text(body)"),
        ({"text/csv": {}}, "str", "Text(body, 'text/csv; charset=utf-8')"),
        ({"image/png": {}}, "bytes", "Bytes(body, 'image/png')"),
        ({"application/octet-stream": {}}, "bytes", "Bytes(body)"),
        (
            {"multipart/form-data": {}, "application/json": {}},
            "Any",
            "Json(body, exclude_unset=True)",
        ),
    ],
)
def test_a_body_is_sent_in_its_format(content: dict[str, Any], declared: str, sent: str) -> None:
    body = {"required": True, "content": content}
    operation = {"operationId": "send", "requestBody": body, "responses": {"204": {"description": ""}}}
    text = written(described({"/x": {"put": operation}}))
    assert (
        f"def send(self, body: {declared}) -> Call[None]:\n        return self.put('/x', None, {sent})"
        in text
    )
    del body["required"]
    text = written(described({"/x": {"put": operation}}))
    assert f"self.put('/x', None, None if body is None else {sent})" in text


@pytest.mark.parametrize(
    ("responses", "expected"),
    [
        ({"200": {"content": {"application/json": {"schema": {"type": "string"}}}}}, ("str", "")),
        ({"2XX": {"content": {"*/*": {"schema": {"type": "string"}}}}}, ("str", "")),
        ({"default": {"content": {"application/json": {"schema": {"type": "string"}}}}}, ("str", "")),
        (
            {"204": {}, "200": {"content": {"application/json": {"schema": {"type": "string"}}}}},
            ("str | None", ""),
        ),
        (
            {
                "200": {"content": {"application/json": {"schema": {"type": "string"}}}},
                "201": {"content": {"application/json": {"schema": {"type": "integer"}}}},
            },
            ("str | int", ""),
        ),
        ({"200": {"content": {"text/html": {}}}}, ("str", ".answered(TEXT)")),
        ({"200": {"content": {"application/pdf": {}}}}, ("bytes", ".answered(BYTES)")),
        (
            {"200": {"content": {"application/x-ndjson": {"schema": {"type": "integer"}}}}},
            ("list[int]", ".answered(JSON_LINES)"),
        ),
        (
            {"200": {"content": {"text/csv": {}}}, "201": {"content": {"image/png": {}}}},
            ("bytes", ".answered(BYTES)"),
        ),
        (
            {"200": {"content": {"application/vnd.x/json": {"schema": {"type": "string"}}}}},
            ("str", ".media_types('application/vnd.x/json')"),
        ),
        ({"303": {}}, ("None", "")),
    ],
)
def test_an_answer_is_read_in_its_format(responses: dict[str, Any], expected: tuple[str, str]) -> None:
    text = written(described({"/x": {"get": {"operationId": "read", "responses": responses}}}))
    kind, option = expected
    assert f"def read(self) -> Call[{kind}]:\n        return self.get('/x', {kind}){option}\n" in text


def test_what_a_call_cannot_do_has_no_method_and_is_listed() -> None:
    multipart = {"content": {"multipart/form-data": {}}}
    nothing = {"204": {"description": ""}}
    paths = {
        "/a": {"post": {"requestBody": multipart, "responses": nothing}, "head": {"responses": nothing}},
        "/b": {"delete": {"requestBody": {"content": {"application/json": {}}}, "responses": nothing}},
        "/c": {"get": {"responses": {"200": {"content": {"text/event-stream": {}}}}}},
        "/d?x=1": {"get": {"responses": nothing}},
        "/e/{x}/{x}": {"get": {"responses": nothing}},
        "/f": {"get": {"operationId": "f", "responses": nothing}},
    }
    found = source(Document(described(paths), "store.json"), OWNED)
    assert found.methods == 1
    assert [one.partition(":")[0] for one in found.left_out] == [
        "POST /a",
        "HEAD /a",
        "DELETE /b",
        "GET /c",
        "GET /d?x=1",
        "GET /e/{x}/{x}",
    ]
    assert "# - POST /a: a multipart body; a forward passes it on as a whole" in found.text


def test_a_post_that_may_be_a_search_is_noted_and_stays_a_write() -> None:
    operation = {"responses": {"204": {"description": ""}}}
    text = written(described({"/orders/search": {"post": operation}, "/orders": {"post": operation}}))
    assert text.count(".as_read()") == 1
    assert (
        "def post_orders_search(self) -> Call[None]:\n        # If this changes nothing, add .as_read()"
        in text
    )


def test_names_are_kept_and_made_different_where_they_meet() -> None:
    nothing = {"204": {"description": ""}}
    paths = {
        "/a": {"get": {"operationId": "listPets", "responses": nothing}},
        "/b": {"get": {"operationId": "list-pets", "responses": nothing}},
        "/c": {"get": {"operationId": "list_pets", "responses": nothing}},
        "/d": {"get": {"operationId": "get", "responses": nothing}},
        "/e": {"get": {"operationId": "__init__", "responses": nothing}},
        "/f/{x}": {"get": {"responses": nothing}},
    }
    names = [line.split("(")[0] for line in written(described(paths)).splitlines() if "    def " in line]
    assert [name.split()[-1] for name in names] == [
        "listPets",
        "list_pets",
        "list_pets_",
        "get_",
        "init__",
        "get_f_x",
    ]


def test_security_schemes_name_the_settings() -> None:
    schemes = {
        "bearer": {"type": "http", "scheme": "Bearer"},
        "basic": {"type": "http", "scheme": "basic"},
        "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
        "query": {"type": "apiKey", "in": "query", "name": "key"},
        "oidc": {"type": "openIdConnect", "openIdConnectUrl": "https://x"},
        "tls": {"type": "mutualTLS"},
        "digest": {"type": "http", "scheme": "digest"},
    }
    text = written(described() | {"components": {"securitySchemes": schemes}})
    said = " ".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("# "))
    for sentence in (
        "bearer: a bearer token. The person's own is sent (BFF_UPSTREAMS__STORE__IDENTITY=user, the default).",
        "basic: basic authentication. Set BFF_UPSTREAMS__STORE__BASIC=user:password and "
        "BFF_UPSTREAMS__STORE__IDENTITY=none.",
        'key: an API key in the header X-Key. Set BFF_UPSTREAMS__STORE__HEADERS=\'{"X-Key": "…"}\'.',
        "query: an API key in a query, key. A gateway sends none",
        "oidc: a bearer token.",
        "tls: a client certificate. Set BFF_UPSTREAMS__STORE__TLS__CERT=… and BFF_UPSTREAMS__STORE__TLS__KEY=….",
        "digest: HTTP authentication digest. A gateway sends none",
    ):
        assert f"Security scheme {sentence}" in said


def test_the_owner_is_the_contact_of_the_description_or_an_option() -> None:
    known = described()
    known["info"]["contact"] = {"name": "Shelf", "email": "shelf@example.org"}
    assert "class Store(Upstream, team='Shelf', contact='shelf@example.org'):" in written(known, Choices())
    assert "team='Pets', contact='#pets'" in written(known)
    with pytest.raises(DeclarationError, match=r"does not say who owns the service .* --team and --contact"):
        written(described(), Choices())
    known["info"]["contact"] = {"name": "Shelf"}
    with pytest.raises(DeclarationError, match="give --contact, for example"):
        written(known, Choices())


def test_only_operations_with_a_tag_and_only_the_schemas_that_they_use() -> None:
    tagged = {"/a": answering("A"), "/b": answering("B")}
    tagged["/a"]["get"]["tags"] = ["one"]
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    text = written(described(tagged, {"A": schema, "B": schema}), Choices("", "t", "c", frozenset({"one"})))
    assert "class A(" in text and "class B(" not in text and "'/b'" not in text
    with pytest.raises(DeclarationError, match="no operations with a tag of other that"):
        written(described(tagged), Choices("", "t", "c", frozenset({"other"})))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"swagger": "2.0"}', "is a description of Swagger 2.0; OpenAPI 3.0 and 3.1 are read. Convert it"),
        ('{"openapi": "4.0.0"}', 'is no description of OpenAPI 3.0 or 3.1: its member openapi is "4.0.0"'),
        ('{"info": {}}', "its member openapi is null"),
        ("[]", "it must be an object"),
        ('{"openapi": ', "is not JSON: Expecting value, line 1 column 13"),
        ("openapi: [", "is not YAML: "),
        ("a: *b", "is not YAML: found undefined alias"),
        ("a: !!python/object:os.system {}", "is not YAML: could not determine a constructor"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_description_is_refused_with_what_to_do(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "store.json"
    file.write_text(content)
    with pytest.raises(DeclarationError) as refused:
        read(file)
    assert why in str(refused.value)


def test_a_file_that_is_too_large_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "store.json"
    with pytest.raises(DeclarationError, match="cannot be read: No such file"):
        read(file)
    file.write_bytes(b"\xff\xfe{")
    with pytest.raises(DeclarationError, match="not a text in UTF-8"):
        read(file)
    with file.open("wb") as large:
        large.truncate(MAX_BYTES + 1)
    with pytest.raises(DeclarationError, match="more than 64,000,000 bytes"):
        read(file)


def test_anchors_that_multiply_are_refused_and_do_not_fill_the_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    file = tmp_path / "store.yaml"
    file.write_text("\n".join(lines))
    with pytest.raises(DeclarationError, match="more than 5,000,000 values"):
        read(file)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$ref": "https://example.org/a.json#/A"}, "leads to another document or to an anchor"),
        ({"$ref": "other.yaml"}, "bundle the description into one file first"),
        ({"$ref": "#/components/schemas/None"}, "a $ref names this place, and there is nothing"),
        ({"$ref": 3}, "a $ref must be a text"),
        ({"type": "file"}, "there is no type 'file'"),
        ({"type": "object", "properties": ["x"]}, "must be an object, not a list"),
        ({"properties": {"a": {"type": "array", "items": "x"}}}, "must be an object, not a text"),
        ({"allOf": {}}, "must be a list, not an object"),
        (
            {"allOf": [{"$ref": "#/components/schemas/A"}, {"type": "object"}]},
            "an allOf leads back to itself",
        ),
    ],
)
def test_a_mistake_in_the_description_names_its_place(schema: dict[str, Any], why: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        written(described({"/x": answering("A")}, {"A": schema}))
    assert why in str(refused.value)
    assert str(refused.value).startswith("store.json: #/")


def test_schemas_nested_without_end_are_refused() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(100):
        deep = {"type": "array", "items": deep}
    with pytest.raises(DeclarationError, match="more than 60 schemas inside each other"):
        model_of(deep)


@pytest.mark.parametrize("name", ["store", "Call", "Upstream", "1A", "A-B", "A\nB"])
def test_a_name_that_no_class_can_have_is_refused(name: str) -> None:
    with pytest.raises(DeclarationError, match="cannot name the upstream's class; choose one with --name"):
        written(described(), Choices(name, "t", "c"))


def test_a_title_without_a_name_asks_for_one() -> None:
    document = described()
    document["info"]["title"] = "商店"
    with pytest.raises(DeclarationError, match="gives no name for the upstream's class"):
        written(document)


def test_a_file_that_is_there_is_not_changed(tmp_path: Path) -> None:
    there = tmp_path / "store.py"
    there.write_text("mine")
    with pytest.raises(DeclarationError, match="exists and is not changed"):
        write(DESCRIPTIONS / "petstore.json", Choices(team="t", contact="c", output=there))
    assert there.read_text() == "mine"
    link = tmp_path / "link.py"
    link.symlink_to(tmp_path / "nowhere.py")
    with pytest.raises(DeclarationError, match="exists and is not changed"):
        write(DESCRIPTIONS / "petstore.json", Choices(team="t", contact="c", output=link))
    assert not (tmp_path / "nowhere.py").exists()


@given(st.text())
def test_every_identifier_is_one_that_python_reads_as_it_is_written(text: str) -> None:
    name = identifier(text, "x")
    assert name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")
    assert ast.parse(name).body[0].value.id == name  # type: ignore[attr-defined]  # an expression of one name


@given(st.text())
def test_a_text_is_one_line_without_control_characters(text: str) -> None:
    line = plain(text)
    assert len(line) <= 600 and line.splitlines() in ([line], [])
    assert not [letter for letter in line if not letter.isprintable() and letter != " "]


EVIL = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            '"""',
            "'''",
            '\\"""',
            '\\\\"',
            '"',
            "\\",
            "\n",
            "\r",
            "\x00",
            "\u2028",
            "\u202e",
            "\ud800",
            "None",
            "class",
            "list",
            "str",
            "self",
            "datetime",
            "Any",
            "BaseModel",
            "Field",
            "model_config",
            "__init__",
            "{",
            "{x}",
            "a]",
            "1",
            "-",
            "é",
            "𝒳",
            "#",
            "\x0c",
            "\\N{",
            "');import os #",
            '"""\nimport os\n"""',
        ]
    ),
)
# What the file may consist of: no call that is not one of ours, no import that is not one of ours.
CALLED = {"Field", "ConfigDict", "Json", "Form", "Text", "Bytes", "str", "map"}
OURS = {"__future__", "datetime", "decimal", "typing", "uuid", "bff", "pydantic"}


@st.composite
def hostile(draw: st.DrawFn) -> dict[str, Any]:
    """A description whose names and texts are anything."""
    name, other = draw(EVIL), draw(EVIL)
    leaf = st.one_of(
        st.sampled_from([{"type": "string"}, {"type": "integer"}, {}, {"type": "object"}]),
        st.lists(st.one_of(EVIL, st.integers(), st.none(), st.booleans()), max_size=3).map(
            lambda v: {"enum": v}
        ),
        EVIL.map(lambda text: {"const": text}),
    )
    schema = draw(
        st.recursive(
            leaf,
            lambda inner: st.one_of(
                inner.map(lambda one: {"type": "array", "items": one}),
                st.dictionaries(EVIL, inner, min_size=1, max_size=3).map(
                    lambda members: {"type": "object", "properties": members, "required": list(members)[:1]}
                ),
                st.lists(inner, min_size=1, max_size=3).map(lambda all: {"oneOf": all}),
                EVIL.map(lambda text: {"type": "string", "description": text, "default": text}),
            ),
            max_leaves=6,
        )
    )
    content = {draw(st.sampled_from(["application/json", "text/csv", "image/png"])): {"schema": schema}}
    operation = {
        "operationId": draw(EVIL),
        "summary": draw(EVIL),
        "description": draw(EVIL),
        "parameters": [
            {
                "name": draw(EVIL),
                "in": "query",
                "schema": schema,
                "style": draw(st.sampled_from(["form", "deepObject"])),
            },
            {"name": draw(EVIL), "in": "header"},
            {"name": draw(EVIL), "in": "cookie"},
        ],
        "requestBody": {"required": draw(st.booleans()), "content": content},
        "responses": {"200": {"content": content}},
    }
    made = described(
        {f"/{draw(EVIL)}/{{{draw(EVIL)}}}": {"post": operation}, "/ping": {"get": {"responses": {}}}}
    )
    made["info"] |= {"title": "Store", "description": draw(EVIL), "version": draw(EVIL)}
    made["servers"] = [{"url": draw(EVIL)}]
    made["components"] = {
        "schemas": {name: schema, other: {"type": "object", "properties": {"x": schema}}},
        "securitySchemes": {draw(EVIL): {"type": "apiKey", "in": "header", "name": draw(EVIL)}},
    }
    made["externalDocs"] = {"url": f"https://{draw(EVIL)}"}
    return made


@given(hostile())
@settings(deadline=None, max_examples=100)
def test_no_text_of_a_description_becomes_code(document: dict[str, Any]) -> None:
    text = written(json.loads(json.dumps(document)))
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            assert module in OURS
        elif isinstance(node, ast.Call):
            called = node.func
            assert isinstance(called, ast.Attribute) or (isinstance(called, ast.Name) and called.id in CALLED)
    top = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.Assign, ast.Expr)
    assert all(isinstance(node, top) for node in tree.body)
    scope: dict[str, Any] = {"__name__": "written"}
    exec(compile(text, "written", "exec"), scope)
    assert scope["Store"].owner.team == "Pets"
