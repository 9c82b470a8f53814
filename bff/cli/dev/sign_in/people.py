"""Who can sign in, and which programs may ask for it: the file `people.toml`.

scopes = ["openid", "profile", "shop"]     # what the gateway may ask for; absent: anything

[[people]]
sub = "ada"
name = "Ada Lovelace"
note = "Pays on time."                     # shown on the page
roles = ["customer"]
scopes = ["shop"]                          # what she can be granted; absent: whatever is asked for
claims = { email = "ada@example.org" }     # more claims of her tokens

[[clients]]                                # a program that acts for itself (client credentials)
id = "reports"
scopes = ["read"]
secret_env = "REPORTS_SECRET"              # the variable with its secret

Guarantees that a changed file is used without a restart, and that a file with a mistake changes nothing: the old
content stays in use. Refuses unknown keys, and claims that would replace what the provider itself says of a token.
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ....calls import DeclarationError

log = logging.getLogger("bff.sign_in")

MOST = 200
"""People and clients in one file, each."""
RESERVED = frozenset(
    [
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "nbf",
        "jti",
        "nonce",
        "sid",
        "azp",
        "acr",
        "amr",
        "auth_time",
        "at_hash",
        "client_id",
        "scope",
        "name",
        "roles",
        "groups",
        "events",
    ]
)
"""Claims that a person's own `claims` cannot set."""
_SCOPE = r"^[\x21\x23-\x5b\x5d-\x7e]+$"
_STRICT = ConfigDict(extra="forbid", frozen=True)


class Person(BaseModel):
    """A person; `sub` is the subject of their tokens. scopes: None grants whatever is asked for."""

    model_config = _STRICT
    sub: str = Field(min_length=1, max_length=255)
    name: str = Field(min_length=1, max_length=100)
    note: str = Field("", max_length=200)
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] | None = None
    claims: dict[str, Any] = Field(default_factory=dict)

    @field_validator("claims")
    @classmethod
    def _not_reserved(cls, claims: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(RESERVED & claims.keys()):
            raise ValueError(f"{taken[0]} is set by the provider; leave it out")
        return claims

    @property
    def initials(self) -> str:
        """One or two letters for the page."""
        return "".join(word[0] for word in self.name.replace("-", " ").split()[:2])


class ServiceClient(BaseModel):
    """A program that gets tokens for itself. secret_env: the environment variable with its secret."""

    model_config = _STRICT
    id: str = Field(min_length=1, max_length=100)
    secret_env: str = Field(min_length=1)
    scopes: tuple[str, ...] = ()


class People(BaseModel):
    """The content of the file. scopes: what the gateway's client may ask for; None: anything."""

    model_config = _STRICT
    scopes: tuple[str, ...] | None = None
    people: tuple[Person, ...] = Field(min_length=1, max_length=MOST)
    clients: tuple[ServiceClient, ...] = Field((), max_length=MOST)

    @model_validator(mode="after")
    def _each_once(self) -> People:
        for what, names in (
            ("people", [one.sub for one in self.people]),
            ("clients", [one.id for one in self.clients]),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{what}: {twice[0]!r} is there twice")
        return self

    def person(self, sub: str) -> Person | None:
        """The person with this subject."""
        return next((one for one in self.people if one.sub == sub), None)


DEFAULT = People(
    people=(
        Person(
            sub="ada",
            name="Ada Admin",
            note="Has every scope and the roles admin and user.",
            roles=("admin", "user"),
        ),
        Person(sub="ben", name="Ben User", note="Has every scope and the role user.", roles=("user",)),
        Person(
            sub="cleo", name="Cleo Guest", note="Has no role, and no scope beside her profile.", scopes=()
        ),
    )
)
"""Who can sign in without a file."""


def read_people(path: Path | None, environ: Mapping[str, str] = os.environ) -> People:
    """The people of the file; the default ones for None and for a file that does not exist. Raises a DeclarationError
    that names the mistake."""
    if path is None or not path.exists():
        return DEFAULT
    try:
        read = People.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeclarationError(f"{path.name} cannot be read: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DeclarationError(f"{path.name}: {where + ': ' if where else ''}{first['msg']}") from None
    for client in read.clients:
        if not environ.get(client.secret_env):
            raise DeclarationError(
                f"{path.name}: client {client.id}: the variable {client.secret_env} is not set"
            )
    return read


@dataclass
class PeopleFile:
    """The people now: the file is read again when it has changed. Raises DeclarationError when it is first read."""

    path: Path | None
    _now: People = field(init=False)
    _stamp: tuple[int, int] | None = field(init=False)

    def __post_init__(self) -> None:
        self._stamp, self._now = self._stat(), read_people(self.path)

    def now(self) -> People:
        """The newest content without a mistake."""
        stamp = self._stat()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._now = read_people(self.path)
            except DeclarationError as error:
                log.warning("the people stay as they were: %s", error)
        return self._now

    def _stat(self) -> tuple[int, int] | None:
        try:
            stat = self.path.stat() if self.path is not None else None
        except OSError:
            return None
        return (stat.st_mtime_ns, stat.st_size) if stat is not None else None
