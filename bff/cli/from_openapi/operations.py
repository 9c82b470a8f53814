"""Makes methods of an upstream of a description's operations.

What a Call cannot do is left out, and the file says so: multipart bodies, bodies of GET and DELETE, cookies, event
streams, methods other than GET, POST, PUT, PATCH and DELETE. A *forward* passes such exchanges on as a whole.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ...calls.call import is_own_header
from ...calls.formats import JSON_LINES, TEXT
from .definitions import NONE, Type
from .document import Document, Node
from .merging import merged
from .naming import ARGUMENTS, METHODS, Names, capitalised, comment, docstring, identifier, paragraphs, plain
from .schemas import Schemas

_METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")
_CALLED = frozenset({"get", "post", "put", "patch", "delete"})
_PARAMETER = re.compile(r"\{([^{}]*)\}")
_SEARCH = re.compile(r"search|query|find|filter|lookup|count|preview|validate", re.IGNORECASE)
_ANY_MEDIA = ("*/*", "application/*")
# What OpenAPI 3.0 says about these names: they are described elsewhere.
_DESCRIBED_ELSEWHERE = frozenset({"accept", "content-type", "authorization"})
# Stands for an argument's name; no text of a description has it.
ARG = "\x00"
_DELIMITERS = {"form": ",", "spaceDelimited": " ", "pipeDelimited": "|"}


@dataclass(slots=True)
class Argument:
    """An argument of a method. wire: its name in the request; sent: the source of what is sent, with ARG for its name;
    name: in Python, known when all models are."""

    wire: str
    type: Type
    required: bool
    sent: str = ARG
    name: str = ""

    @property
    def declared(self) -> str:
        return f"{self.name}: {self.type}" if self.required else f"{self.name}: {self.type.or_none()} = None"

    @property
    def written(self) -> str:
        return self.sent.replace(ARG, self.name)

    @property
    def value(self) -> str:
        if self.required or self.sent == ARG:
            return self.written
        return f"None if {self.name} is None else {self.written}"


@dataclass(slots=True)
class Answer:
    """What a call gives. option: the source of the format, or of the media types."""

    type: Type
    option: str = ""


@dataclass(slots=True)
class Operation:
    """One method of the upstream. template: the texts of the path and the arguments between them."""

    name: str
    method: str
    template: list[str | Argument] = field(default_factory=list)
    answer: Answer = field(default_factory=lambda: Answer(NONE))
    notes: list[str] = field(default_factory=list)
    query: list[Argument] = field(default_factory=list)
    headers: list[Argument] = field(default_factory=list)
    spread: list[Argument] = field(default_factory=list)
    """Arguments that are several parameters of the query."""
    body: Argument | None = None
    search: bool = False

    @property
    def path(self) -> list[Argument]:
        return [part for part in self.template if isinstance(part, Argument)]

    @property
    def arguments(self) -> list[Argument]:
        """All arguments: the path's, the others in order, and the body."""
        last = [] if self.body is None else [self.body]
        return [*self.path, *self.query, *self.spread, *self.headers, *last]


class Operations:
    """The operations of a description. tags: only those with one of these tags; empty: all."""

    def __init__(self, document: Document, schemas: Schemas, tags: frozenset[str]) -> None:
        self._document = document
        self._schemas = schemas
        self._tags = tags
        self.found: list[Operation] = []
        self.left_out: list[str] = []
        """One sentence for each operation that has no method."""
        for path, item in document.mapping(document.root.get("paths"), "#/paths").items():
            where = f"#/paths/{path.replace('~', '~0').replace('/', '~1')}"
            node = document.resolved(item, where)
            for method in _METHODS:
                if method in node:
                    self._add(path, method, node, where)

    def _add(self, path: str, method: str, item: Node, where: str) -> None:
        location = f"{where}/{method}"
        node = self._document.mapping(item[method], location)
        tags = [
            tag for tag in self._document.items(node.get("tags"), f"{location}/tags") if isinstance(tag, str)
        ]
        if self._tags and self._tags.isdisjoint(tags):
            return
        title = f"{method.upper()} {plain(path, 200)}"
        why = self._cannot(path, method, node, location)
        if why:
            self.left_out.append(f"{title}: {why}")
            return
        operation_id = node.get("operationId")
        if isinstance(operation_id, str) and operation_id:
            wanted = identifier(operation_id, "call")
        else:
            wanted = identifier(f"{method}_{path}".replace("{", "").replace("}", ""), method)
            wanted = re.sub(r"__+", "_", wanted).rstrip("_")
        made = Operation(wanted, method)
        parameters = self._parameters(item, node, where, location)
        made.template = self._template(path, parameters, made, location)
        notes = [note for one in parameters if (note := self._parameter(one, made, location))]
        made.body = self._body(node, made, location)
        made.answer = self._answer(node, made, location)
        summary = plain(node.get("summary"), 200)
        explained = [one for one in paragraphs(node.get("description")) if one != summary]
        made.notes = [*([summary] if summary else []), *explained]
        if node.get("deprecated") is True:
            made.notes.append("Deprecated by the service.")
        made.notes += notes
        made.search = method == "post" and bool(_SEARCH.search(f"{wanted} {path.rpartition('/')[2]}"))
        self.found.append(made)

    def _cannot(self, path: str, method: str, node: Node, location: str) -> str:
        """Why the operation has no method, empty when it has one."""
        if method not in _CALLED:
            return f"a call has no method {method.upper()}"
        if not path.startswith("/") or re.search(r"[?#\\]|//", path) or not path.isprintable():
            return "its path is not in the form of a path"
        names = _PARAMETER.findall(path)
        if len(set(names)) < len(names) or re.search(r"[{}]", _PARAMETER.sub("", path)):
            return "its path has braces that are not parameters, or a parameter twice"
        content = self._content(node.get("requestBody"), f"{location}/requestBody")
        if content and method in ("get", "delete"):
            return f"a {method.upper()} with a body"
        if content and all(_media(one).startswith("multipart/") for one in content):
            return "a multipart body; a forward passes it on as a whole"
        for status, answer in self._successes(node, location):
            offered = self._content(answer, f"{location}/responses/{status}")
            if offered and all(_media(one) == "text/event-stream" for one in offered):
                return "a stream of events; a forward passes it on as a whole"
        return ""

    # ---- parameters -------------------------------------------------------------------------------------------------

    def _parameters(self, item: Node, node: Node, where: str, location: str) -> list[Node]:
        found: dict[tuple[Any, Any], Node] = {}
        for holder, at in ((item, where), (node, location)):
            for number, one in enumerate(self._document.items(holder.get("parameters"), f"{at}/parameters")):
                parameter = self._document.resolved(one, f"{at}/parameters/{number}")
                name, kind = parameter.get("name"), parameter.get("in")
                if not isinstance(name, str) or kind not in ("path", "query", "header", "cookie"):
                    raise self._document.error(
                        f"{at}/parameters/{number}",
                        "a parameter needs a name, and `in` with path, query, header or cookie",
                    )
                found[(kind, name)] = parameter
        return list(found.values())

    def _template(
        self, path: str, parameters: list[Node], made: Operation, location: str
    ) -> list[str | Argument]:
        declared = {one["name"]: one for one in parameters if one["in"] == "path"}
        parts: list[str | Argument] = []
        for number, part in enumerate(_PARAMETER.split(path)):
            if number % 2 == 0:
                # The texts between the parameters are sent as they are written.
                parts.append(quote(part, safe="/:@!$&'()*+,;=-._~%"))
                continue
            hint = capitalised(f"{made.name} {part}", "Value")
            schema = self._schema(declared.get(part, {}))
            found = self._schemas.type_of(schema, hint, f"{location}/parameters/{part}")
            parts.append(Argument(part, found if self._is_one_text(found) else Type(("str",)), True))
        return parts

    def _is_one_text(self, found: Type) -> bool:
        """Whether each value of the type is written as one text."""
        for one in found.alternatives:
            definition = self._schemas.definitions.get(one)
            if definition is not None:
                if definition.alias is None or not self._is_one_text(definition.alias):
                    return False
            elif one in ("Any", "None") or one.startswith(("list[", "dict[", "tuple[", "Annotated[")):
                return False
        return True

    def _parameter(self, node: Node, made: Operation, location: str) -> str:
        """Takes a parameter of the query or a header. Returns a note where a call does not send it."""
        wire, kind = node["name"], node["in"]
        if kind == "path" or (kind == "header" and wire.lower() in _DESCRIBED_ELSEWHERE):
            return ""
        required = node.get("required") is True
        must = ", which the service requires," if required else ""
        if kind == "cookie":
            return f"The cookie {plain(wire, 80)}{must} is not sent: calls have no cookies."
        if kind == "header" and (is_own_header(wire.lower()) or not re.fullmatch(r"[A-Za-z0-9_.-]+", wire)):
            return f"The header {plain(wire, 80)}{must} is not an argument: the gateway sets it."
        schema, where = self._schema(node), f"{location}/parameters/{wire}"
        if kind == "query" and self._spreads(node, schema, wire, required, made, where):
            return ""
        found = self._schemas.type_of(schema, capitalised(f"{made.name} {wire}", "Value"), where)
        if "None" in found.alternatives:
            # None is not sent, so it is the same as no value.
            required = False
            found = Type(tuple(one for one in found.alternatives if one != "None") or ("str",))
        argument = Argument(wire, found, required)
        if kind == "header":
            if found.alternatives == ("int",):
                argument.sent = f"str({ARG})"
            elif not all(one == "str" or one.startswith("Literal['") for one in found.alternatives):
                argument.type = Type(("str",))
            made.headers.append(argument)
            return ""
        style = str(node.get("style", "form"))
        if "content" in node:
            # One text of JSON; the caller writes it.
            argument.type = Type(("str",))
        elif node.get("explode", style == "form") is not True and style in _DELIMITERS:
            is_list = (
                isinstance(schema, dict) and merged(self._document, schema, where).get("type") == "array"
            )
            if is_list:
                argument.sent = f'"{_DELIMITERS[style]}".join(map(str, {ARG}))'
        made.query.append(argument)
        return ""

    def _spreads(
        self, node: Node, schema: Any, wire: str, required: bool, made: Operation, where: str
    ) -> bool:
        """Takes an object that is several parameters of the query: `filter[name]=…`, or one for each member."""
        deep = node.get("style") == "deepObject"
        is_object = isinstance(schema, dict) and merged(self._document, schema, where).get("type") == "object"
        if "content" in node or not (deep or (is_object and node.get("explode", True) is True)):
            return False
        given = ARG if required else f"({ARG} or {{}})"
        sent = f"{{f{_braced(wire)}: value for name, value in {given}.items()}}" if deep else given
        made.spread.append(Argument(wire, Type(("dict[str, Any]",)), required, sent))
        return True

    def _schema(self, parameter: Node) -> Any:
        """The schema of a parameter, also where it is described as content."""
        if "schema" in parameter:
            return parameter["schema"]
        return None if "content" in parameter else {"type": "string"}

    # ---- body and answer --------------------------------------------------------------------------------------------

    def _content(self, found: Any, where: str) -> Node:
        node = self._document.resolved(found, where)
        return self._document.mapping(node.get("content"), f"{where}/content")

    def _body(self, node: Node, made: Operation, location: str) -> Argument | None:
        where = f"{location}/requestBody"
        content = self._content(node.get("requestBody"), where)
        if not content:
            return None
        required = self._document.resolved(node.get("requestBody"), where).get("required") is True
        chosen = min(content, key=_preference)
        media = _media(chosen)
        schema = self._document.mapping(content[chosen], f"{where}/content/{chosen}").get("schema")
        hint = f"{capitalised(made.name, 'Call')}Body"
        location = f"{where}/content/{chosen}/schema"
        if _is_json(media):
            found = self._schemas.type_of(schema, hint, location)
            written = "" if media in ("application/json", *_ANY_MEDIA) else f", media_type={media!r}"
            return Argument("body", found, required, f"Json({ARG}, exclude_unset=True{written})")
        if media == "application/x-www-form-urlencoded":
            found = self._schemas.type_of(schema, hint, location)
            definition = self._schemas.definitions.get(str(found))
            if definition is not None and definition.alias is None:
                fields = f'{ARG}.model_dump(mode="json", by_alias=True, exclude_unset=True)'
                return Argument("body", found, required, f"Form({fields})")
            return Argument("body", Type(("dict[str, Any]",)), required, f"Form({ARG})")
        if media.startswith("text/"):
            written = "" if media == "text/plain" else f", {f'{media}; charset=utf-8'!r}"
            return Argument("body", Type(("str",)), required, f"Text({ARG}{written})")
        written = "" if media == "application/octet-stream" else f", {media!r}"
        return Argument("body", Type(("bytes",)), required, f"Bytes({ARG}{written})")

    def _successes(self, node: Node, location: str) -> list[tuple[str, Any]]:
        answers = self._document.mapping(node.get("responses"), f"{location}/responses")
        found = [
            (status, one) for status, one in answers.items() if re.fullmatch(r"2[0-9X]{2}", status.upper())
        ]
        if not found and not any(status.startswith("3") for status in answers):
            found = [(status, one) for status, one in answers.items() if status == "default"]
        return sorted(found, key=lambda pair: pair[0])

    def _answer(self, node: Node, made: Operation, location: str) -> Answer:
        """What the successes give together: JSON where one of them is JSON."""
        json: list[Answer] = []
        others: list[Answer] = []
        nothing = False
        hint = f"{capitalised(made.name, 'Call')}Answer"
        for status, answer in self._successes(node, location):
            where = f"{location}/responses/{status}"
            content = self._content(answer, where)
            if not content:
                nothing = True
                continue
            chosen = min(content, key=_preference)
            schema = self._document.mapping(content[chosen], f"{where}/content/{chosen}").get("schema")
            at, media = f"{where}/content/{chosen}/schema", _media(chosen)
            if _is_json(media):
                json.append(Answer(self._schemas.type_of(schema, hint, at), _json_types(media)))
            elif media in JSON_LINES.media:
                items = merged(self._document, schema, at).get("items", schema) if schema else None
                found = self._schemas.type_of(items, hint, at)
                others.append(Answer(Type((f"list[{found}]",)), ".answered(JSON_LINES)"))
            elif media in TEXT.media:
                others.append(Answer(Type(("str",)), ".answered(TEXT)"))
            else:
                others.append(Answer(Type(("bytes",)), ".answered(BYTES)"))
        if json:
            types = [one.type for one in json] + ([NONE] if nothing else [])
            options = list(dict.fromkeys(one.option for one in json))
            return Answer(Type.union(types), options[0] if len(options) == 1 else "")
        if not others:
            return Answer(NONE)
        if any(one != others[0] for one in others):
            return Answer(Type(("bytes",)), ".answered(BYTES)")
        return others[0]


def _media(name: str) -> str:
    return name.partition(";")[0].strip().lower()


def _is_json(media: str) -> bool:
    # Some frameworks describe the JSON that they answer as */*.
    return media in _ANY_MEDIA or media.endswith(("+json", "/json"))


def _json_types(media: str) -> str:
    usual = media in ("application/json", "text/json", *_ANY_MEDIA) or media.endswith("+json")
    return "" if usual else f".media_types({media!r})"


def _preference(name: str) -> int:
    """JSON first, then what a call reads and writes as well."""
    media = _media(name)
    if _is_json(media):
        return 0 if media == "application/json" else 1
    if media == "application/x-www-form-urlencoded":
        return 2
    if media in JSON_LINES.media:
        return 3
    if media.startswith("text/"):
        return 4
    return 6 if media.startswith("multipart/") else 5


def _braced(wire: str) -> str:
    """The source of `filter[{name}]` after the f of an f-string."""
    return repr(f"{wire}[".replace("{", "{{").replace("}", "}}") + "{name}]")


# ---- source ---------------------------------------------------------------------------------------------------------


def source(operations: Operations, schemas: Schemas) -> Iterator[str]:
    """The lines of all methods, indented."""
    names = Names({*METHODS, *schemas.definitions})
    taken = frozenset({*ARGUMENTS, *schemas.definitions})
    for one in operations.found:
        yield ""
        yield from _method(one, names.new(one.name), taken)


def _method(one: Operation, name: str, taken: frozenset[str]) -> Iterator[str]:
    names = Names(taken)
    # A parameter of the query must not have the name of one in the path: it would fill the path.
    queried = {argument.wire for argument in one.query}
    for argument in one.path:
        wanted = identifier(argument.wire, "part")
        argument.name = names.new(f"{wanted}_in_path" if wanted in queried else wanted)
        while argument.name in queried:
            argument.name = names.new(wanted)
    for argument in one.arguments[len(one.path) :]:
        argument.name = names.new(identifier(argument.wire, "value"))
    declared = ["self", *(argument.declared for argument in one.arguments if argument.required)]
    optional = [argument.declared for argument in one.arguments if not argument.required]
    if optional:
        declared += ["*", *optional]
    yield f"    def {name}({', '.join(declared)}) -> Call[{one.answer.type}]:"
    yield from docstring(one.notes, "        ")
    if one.search:
        note = "If this changes nothing, add .as_read(): it can then be cached, and is retried as a read."
        yield from comment(note, "        ")
    template = "".join(part if isinstance(part, str) else f"{{{part.name}}}" for part in one.template)
    given = [repr(template), str(one.answer.type)]
    if one.body is not None:
        given.append(one.body.value)
    given += [f"{argument.name}={argument.name}" for argument in one.path]
    odd = []
    for argument in one.query:
        if argument.wire.isidentifier() and argument.wire.isascii() and not keyword.iskeyword(argument.wire):
            given.append(f"{argument.wire}={argument.value}")
        else:
            odd.append(f"{argument.wire!r}: {argument.value}")
    if odd:
        given.append(f"**{{{', '.join(odd)}}}")
    given += [f"**{argument.written}" for argument in one.spread]
    call = f"self.{one.method}({', '.join(given)})"
    call += "".join(f".header({argument.wire!r}, {argument.value})" for argument in one.headers)
    yield f"        return {call}{one.answer.option}"
