"""Declare an upstream: a class with an owner whose methods return Calls.

The class has no address and no connection; those come from the settings under the upstream's name. A class without an
owner is refused when it is declared, because every error names the owner.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar, overload

from .batch import MOST, Batch
from .call import Call, CallOptions, Method, is_header_value
from .codec import encode
from .errors import DeclarationError, Refused, declaring
from .formats import Body
from .outcomes import OUTCOMES, OutcomeTable
from .owner import Owner
from .template import UnusablePathValue, query_of, template_of

T = TypeVar("T")
K = TypeVar("K")
U = TypeVar("U")
if TYPE_CHECKING:
    from typing import _SpecialForm

    # The type of `A | B` and of `Optional[A]` for a type checker. A class matches `type[T]`, so that a wrong class is
    # reported where it is used.
    Form: TypeAlias = UnionType | _SpecialForm


class Upstream:
    """Base of an upstream's client.

    class Catalog(Upstream, team="Catalog", contact="#catalog", docs="https://…"):
        def product(self, sku: str) -> Call[Product]:
            return self.get("/products/{sku}", Product, sku=sku).fresh(30).public()

    team, contact  required: the owner and how to reach it
    docs           optional URL of its documentation or runbook
    service        its name in settings; default: the class name in lower case
    outcomes       the outcome of each status, default `bff.OUTCOMES`; an instance may set its attribute `outcomes` to
                   another table
    headers        request headers of all its calls, such as ``{"X-Api-Version": "2"}``; secrets belong in the settings

    Raises DeclarationError for a class without an owner.
    """

    owner: ClassVar[Owner]
    outcomes: OutcomeTable = OUTCOMES
    headers: ClassVar[tuple[tuple[str, str], ...]] = ()
    _options = CallOptions()

    def __init_subclass__(
        cls,
        *,
        team: str = "",
        contact: str = "",
        docs: str = "",
        service: str = "",
        outcomes: OutcomeTable | None = None,
        headers: Mapping[str, str] | None = None,
        **rest: Any,
    ) -> None:
        super().__init_subclass__(**rest)
        with declaring():
            if not team or not contact:
                raise DeclarationError(
                    f"upstream {cls.__name__} names no owner: write class {cls.__name__}(Upstream, "
                    'team="…", contact="#…"), because every error names the owner'
                )
        cls.owner = Owner(service or cls.__name__.lower(), team, contact, docs)
        if outcomes is not None:
            cls.outcomes = outcomes
        if headers is not None:
            with declaring():
                call: Call[None] = Call(cls.owner, cls.__name__, "GET", "/", "/", None)
                for name, value in headers.items():
                    if not is_header_value(value):
                        raise DeclarationError(
                            f"upstream {cls.__name__}: no header can have the value of {name}"
                        )
                    call = call.header(name, value)
            cls.headers = call.headers

    @overload
    def get(self, template: str, model: type[T], /, **data: Any) -> Call[T]: ...
    @overload
    def get(self, template: str, model: None, /, **data: Any) -> Call[None]: ...
    @overload
    def get(self, template: str, model: Form, /, **data: Any) -> Call[Any]: ...
    def get(self, template: str, model: Any, /, **data: Any) -> Call[Any]:
        """A read. Keyword arguments fill the path; the others become the query, where None is left out and a list
        repeats its name.

        A value is written as in JSON, without quotes. `{name}` in the path takes one segment; `{name:path}` takes
        several, `{name:escaped}` sends a slash as %2F. Raises DeclarationError for a wrong template or argument. A
        value that cannot be used in a path is Refused with status 404, because it often comes from a client.
        """
        return self._call("GET", template, model, None, data)

    @overload
    def post(self, template: str, model: type[T], body: Any = None, /, **data: Any) -> Call[T]: ...
    @overload
    def post(self, template: str, model: None, body: Any = None, /, **data: Any) -> Call[None]: ...
    @overload
    def post(self, template: str, model: Form, body: Any = None, /, **data: Any) -> Call[Any]: ...
    def post(self, template: str, model: Any, body: Any = None, /, **data: Any) -> Call[Any]:
        """A write with a JSON body (anything pydantic can serialise; a secret in a model is sent in plain text) or a
        `bff.Json`, `bff.Form`, `bff.Text` or `bff.Bytes`. Otherwise as `get`."""
        return self._call("POST", template, model, body, data)

    @overload
    def put(self, template: str, model: type[T], body: Any = None, /, **data: Any) -> Call[T]: ...
    @overload
    def put(self, template: str, model: None, body: Any = None, /, **data: Any) -> Call[None]: ...
    @overload
    def put(self, template: str, model: Form, body: Any = None, /, **data: Any) -> Call[Any]: ...
    def put(self, template: str, model: Any, body: Any = None, /, **data: Any) -> Call[Any]:
        """A replacement with a JSON body, as `post`."""
        return self._call("PUT", template, model, body, data)

    @overload
    def patch(self, template: str, model: type[T], body: Any = None, /, **data: Any) -> Call[T]: ...
    @overload
    def patch(self, template: str, model: None, body: Any = None, /, **data: Any) -> Call[None]: ...
    @overload
    def patch(self, template: str, model: Form, body: Any = None, /, **data: Any) -> Call[Any]: ...
    def patch(self, template: str, model: Any, body: Any = None, /, **data: Any) -> Call[Any]:
        """A partial change with a JSON body, as `post`."""
        return self._call("PATCH", template, model, body, data)

    @overload
    def delete(self, template: str, model: type[T], /, **data: Any) -> Call[T]: ...
    @overload
    def delete(self, template: str, model: None, /, **data: Any) -> Call[None]: ...
    @overload
    def delete(self, template: str, model: Form, /, **data: Any) -> Call[Any]: ...
    def delete(self, template: str, model: Any, /, **data: Any) -> Call[Any]:
        """A removal; arguments as in `get`."""
        return self._call("DELETE", template, model, None, data)

    @staticmethod
    def batch(
        by: Callable[[Any], Any], *, most: int = MOST
    ) -> Callable[[Callable[[U, list[K]], Call[list[T]]]], Batch[K, T]]:
        """Decorates a method that takes a list of keys: it is then called with one key and gives one item. The items
        that a request asks for in one turn of the event loop are one call; see `bff.calls.batch`.

        by    the key of an item of the answer, hashable; a lambda here is not checked, the types are those of the
              method
        most  keys of one call, 1 to 1,000 (default 50); further ones make another call

        Raises DeclarationError. An item that the answer lacks is Refused with status 404.
        """
        return lambda many: Batch(many, by, most)

    def _call(self, method: Method, template: str, model: Any, body: Any, data: dict[str, Any]) -> Call[Any]:
        # The frame two levels up is the user's method; its name is shown in logs and timings.
        name = f"{type(self).__name__}.{sys._getframe(2).f_code.co_name}"
        unused = dict(data)
        try:
            path = template_of(template).filled(unused)
            query = query_of(unused.items())
            encoded: bytes | None = None
            body_type = "application/json"
            if body is not None and isinstance(body, Body):
                encoded, body_type = body.encoded(), body.media_type
            elif body is not None:
                encoded = encode(body, secrets=True)
        except UnusablePathValue as error:
            # The value often comes from a client, so it is refused as a service refuses a name that it does not know.
            raise Refused(self.owner, name, f"There is no such {error.parameter}.", status=404) from None
        except DeclarationError as error:
            raise DeclarationError(f"{name}: {template}: {error}") from None
        options = self._options
        if options.outcomes is not self.outcomes:
            options = self._options = CallOptions(outcomes=self.outcomes)
        return Call(
            self.owner,
            name,
            method,
            template,
            path,
            model,
            query,
            encoded,
            body_type,
            self.headers,
            options=options,
        )
