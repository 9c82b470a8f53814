"""Tokens in the exact shapes that providers issue by default, as table data: for each provider the settings, the access
tokens that are for this gateway, and the other tokens that the provider signs with the same keys.

Sources: the providers' own references of access and ID tokens (Auth0 "Access Token Profiles", Microsoft "Access token
claims reference" and "ID token claims reference", Okta "API Access Management", Amazon Cognito "Understanding the
access token"; Keycloak 26 as it issued them).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bff.policies.tokens import Reason

from .issuing import NOW

AT = int(NOW)
TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
OTHER_TENANT = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"
API = "6e74172b-be56-4843-9ff4-e66a39bb12e3"
CLIENT = "b14a7505-96e9-4927-91e8-0601d0fc9caa"
TIMES = {"iat": AT - 5, "exp": AT + 300}
Claims = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A token of the provider that is no access token for this gateway."""

    claims: Claims
    reason: Reason
    typ: str | None = "JWT"


@dataclass(frozen=True)
class Provider:
    """typ, claims     header and claims of an access token
    scopes, roles   what it grants here
    others          further access tokens that are accepted
    kinds           tokens that are not
    without_mark    the access token's claims without what marks it
    """

    name: str
    settings: Mapping[str, Any]
    typ: str | None
    claims: Claims
    scopes: frozenset[str]
    roles: frozenset[str]
    without_mark: tuple[Claims, ...]
    kinds: Mapping[str, Kind]
    others: Mapping[str, Claims] = field(default_factory=dict)
    alg: str = "RS256"

    @property
    def issuer(self) -> str:
        return str(self.settings["issuer"])

    @property
    def scope_claim(self) -> str:
        return "scp" if self.name.startswith(("entra", "okta")) else "scope"


def without(claims: Mapping[str, Any], *names: str, **changes: Any) -> Claims:
    return {name: value for name, value in {**claims, **changes}.items() if name not in names}


def id_token(issuer: str, client: str, **more: Any) -> Claims:
    return {
        "iss": issuer,
        "aud": client,
        "sub": "ada",
        **TIMES,
        "nonce": "n-0S6_WzA2Mj",
        "name": "Ada",
        **more,
    }


def logout_token(issuer: str, client: str, **more: Any) -> Claims:
    event = "http://schemas.openid.net/event/backchannel-logout"
    return {"iss": issuer, "aud": client, "sub": "ada", **TIMES, "jti": "l1", "events": {event: {}}, **more}


# ---- RFC 9068 ----------------------------------------------------------------------------------------------

_RFC = "https://id.example.org"
_RFC_CLAIMS: Claims = {
    "iss": _RFC,
    "aud": "desk-api",
    "sub": "ada",
    "client_id": "desk",
    **TIMES,
    "jti": "dbe39bf3a3ba4238a513f51d6e1691c4",
    "scope": "desk read",
    "auth_time": AT - 60,
    "roles": ["agent"],
}
RFC9068 = Provider(
    "rfc9068",
    {"issuer": _RFC, "audience": "desk-api"},
    "at+jwt",
    _RFC_CLAIMS,
    frozenset({"desk", "read"}),
    frozenset({"agent"}),
    (),
    {
        "an ID token": Kind(id_token(_RFC, "desk"), Reason.TYPE),
        "an ID token for the API": Kind(id_token(_RFC, "desk-api"), Reason.TYPE),
        "an ID token without a type": Kind(id_token(_RFC, "desk-api"), Reason.TYPE, None),
        "an access token without the type": Kind(_RFC_CLAIMS, Reason.TYPE),
        "a logout token": Kind(logout_token(_RFC, "desk-api"), Reason.TYPE, "logout+jwt"),
        "a refresh token": Kind(without(_RFC_CLAIMS, typ="Refresh"), Reason.TYPE),
    },
)  # fmt: skip

# ---- Keycloak ----------------------------------------------------------------------------------------------

_KC = "https://login.example.org/realms/desk"
_KC_CLAIMS: Claims = {
    "exp": AT + 300,
    "iat": AT - 5,
    "auth_time": AT - 60,
    "jti": "onrtac:3ba4238a-513f-51d6-e169-1c4dbe39bf3a",
    "iss": _KC,
    "aud": ["desk-api", "account"],
    "sub": "f:550e8400:ada lovelace",
    "typ": "Bearer",
    "azp": "desk-spa",
    "sid": "8b1f2f7e-0c4d-4f0f-8f2e-0ed5d2f5b7f1",
    "acr": "1",
    "allowed-origins": ["https://desk.example"],
    "realm_access": {"roles": ["default-roles-desk", "staff"]},
    "resource_access": {
        "desk-api": {"roles": ["agent"]},
        "account": {"roles": ["manage-account", "view-profile"]},
        "realm-management": {"roles": ["realm-admin"]},
    },
    "scope": "openid email profile desk",
    "email_verified": True,
    "name": "Ada Lovelace",
    "preferred_username": "ada",
}
KEYCLOAK = Provider(
    "keycloak",
    {"issuer": _KC, "audience": "desk-api", "profile": "keycloak"},
    "JWT",
    _KC_CLAIMS,
    frozenset({"openid", "email", "profile", "desk"}),
    # The roles at other clients are not roles here.
    frozenset({"default-roles-desk", "staff", "agent"}),
    (without(_KC_CLAIMS, "typ"), without(_KC_CLAIMS, typ="bearer"), without(_KC_CLAIMS, typ=["Bearer"])),
    {
        "an ID token": Kind(
            id_token(_KC, "desk-spa", typ="ID", azp="desk-spa", at_hash="p0QYRZ", sid="s"), Reason.AUDIENCE
        ),
        "an ID token for the API": Kind(id_token(_KC, "desk-api", typ="ID", azp="desk-api"), Reason.NO_MARK),
        "a refresh token": Kind(
            without(_KC_CLAIMS, typ="Refresh", aud=["desk-api", _KC]), Reason.NO_MARK
        ),
        "an offline token": Kind(without(_KC_CLAIMS, typ="Offline"), Reason.NO_MARK),
        "a logout token": Kind(logout_token(_KC, "desk-api", typ="Logout"), Reason.NO_MARK),
        "a logout token by its type": Kind(
            logout_token(_KC, "desk-api", typ="Logout"), Reason.TYPE, "logout+jwt"
        ),
        "an access token with the hash of an ID token": Kind(without(_KC_CLAIMS, at_hash="x"), Reason.OTHER_KIND),
        "a token for another API": Kind(without(_KC_CLAIMS, aud="account"), Reason.AUDIENCE),
        "a token whose client alone is this API": Kind(
            without(_KC_CLAIMS, aud="account", azp="desk-api"), Reason.AUDIENCE
        ),
        "an action token": Kind(without(_KC_CLAIMS, typ="execute-actions"), Reason.NO_MARK),
        "another realm's token": Kind(
            without(_KC_CLAIMS, iss="https://login.example.org/realms/other"), Reason.ISSUER
        ),
        "a DPoP token without a binding": Kind(without(_KC_CLAIMS, typ="DPoP"), Reason.NO_MARK),
        "client roles as a text": Kind(
            without(_KC_CLAIMS, resource_access={"desk-api": {"roles": {"agent": True}}}), Reason.ROLES
        ),
    },
    {
        "with the type of RFC 9068 as the header": _KC_CLAIMS,
        "of a service account": without(
            _KC_CLAIMS, "sid", "auth_time", client_id="desk-spa", clientHost="10.0.0.1",
            preferred_username="service-account-desk-spa",
        ),
        "with the nonce of an old version": without(_KC_CLAIMS, nonce="n"),
    },
)  # fmt: skip

# ---- Auth0 -------------------------------------------------------------------------------------------------

_A0 = "https://dev-desk.eu.auth0.com/"
_A0_CLAIMS: Claims = {
    "iss": _A0,
    "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
    "aud": ["https://desk.example/api", f"{_A0}userinfo"],
    **TIMES,
    "azp": "my_client_id",
    "scope": "openid profile read:desk",
    "permissions": ["read:desk", "write:desk"],
    "org_id": "org_9ybsU1dN2dKfDkBi",
}
AUTH0 = Provider(
    "auth0",
    {"issuer": _A0, "audience": "https://desk.example/api", "profile": "auth0"},
    "JWT",
    _A0_CLAIMS,
    frozenset({"openid", "profile", "read:desk"}),
    frozenset({"read:desk", "write:desk"}),
    (without(_A0_CLAIMS, "azp"), without(_A0_CLAIMS, azp=""), without(_A0_CLAIMS, azp=["my_client_id"])),
    {
        "an ID token": Kind(id_token(_A0, "my_client_id", sid="s"), Reason.AUDIENCE),
        "an ID token for the API's own name": Kind(id_token(_A0, "https://desk.example/api"), Reason.NO_MARK),
        "an ID token whose azp is its audience": Kind(
            id_token(_A0, "https://desk.example/api", azp="https://desk.example/api"), Reason.NO_MARK
        ),
        "an ID token with an azp": Kind(
            id_token(_A0, "https://desk.example/api", azp="my_client_id"), Reason.OTHER_KIND
        ),
        "a logout token": Kind(logout_token(_A0, "https://desk.example/api"), Reason.NO_MARK),
        "a logout token with an azp": Kind(
            logout_token(_A0, "https://desk.example/api", azp="my_client_id"), Reason.OTHER_KIND
        ),
        "a logout token by its type": Kind(
            logout_token(_A0, "https://desk.example/api"), Reason.TYPE, "logout+jwt"
        ),
        "a token for another API": Kind(
            without(_A0_CLAIMS, aud=["https://bank.example/api", f"{_A0}userinfo"]), Reason.AUDIENCE
        ),
        "a token for userinfo alone": Kind(without(_A0_CLAIMS, aud=f"{_A0}userinfo"), Reason.AUDIENCE),
        "a token of the management API": Kind(without(_A0_CLAIMS, aud=f"{_A0}api/v2/"), Reason.AUDIENCE),
        "another tenant's token": Kind(
            without(_A0_CLAIMS, iss="https://dev-bank.eu.auth0.com/"), Reason.ISSUER
        ),
        "an issuer without its slash": Kind(without(_A0_CLAIMS, iss=_A0.rstrip("/")), Reason.ISSUER),
        "permissions that are an object": Kind(without(_A0_CLAIMS, permissions={"admin": True}), Reason.ROLES),
        "a scope that is a list": Kind(without(_A0_CLAIMS, scope=["read:desk"]), Reason.SCOPE),
    },
    {
        "of the RFC 9068 profile": without(_A0_CLAIMS, "azp", client_id="my_client_id", jti="j"),
        "of a machine": without(
            _A0_CLAIMS, "org_id", sub="my_client_id@clients", aud="https://desk.example/api", gty="client-credentials"
        ),
    },
)  # fmt: skip

# ---- Entra ID ----------------------------------------------------------------------------------------------

_E2 = f"https://login.microsoftonline.com/{TENANT}/v2.0"
_E2_CLAIMS: Claims = {
    "aud": API,
    "iss": _E2,
    "nbf": AT - 5,
    **TIMES,
    "aio": "AXQAi/8TAAAA",
    "azp": CLIENT,
    "azpacr": "0",
    "name": "Ada Lovelace",
    "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
    "preferred_username": "ada@example.org",
    "rh": "0.ARwA",
    "scp": "Desk.Read Desk.Write",
    "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
    "tid": TENANT,
    "uti": "fqiBqXLPj0eQa82S-IYFAA",
    "ver": "2.0",
    "roles": ["Agent"],
}
_E2_APP = without(
    _E2_CLAIMS,
    "scp",
    "name",
    "preferred_username",
    roles=["Desk.All"],
    azpacr="1",
    sub=_E2_CLAIMS["oid"],
    idtyp="app",
)
_E2_KINDS = {
    "an ID token": Kind(id_token(_E2, CLIENT, tid=TENANT, oid="o", ver="2.0", aio="a", rh="r"), Reason.AUDIENCE),
    "an ID token for the API": Kind(id_token(_E2, API, tid=TENANT, oid="o", ver="2.0"), Reason.NO_MARK),
    "an ID token with app roles": Kind(id_token(_E2, API, tid=TENANT, roles=["Agent"]), Reason.NO_MARK),
    "an ID token with app roles and a client": Kind(
        id_token(_E2, API, tid=TENANT, roles=["Agent"], azp=API), Reason.OTHER_KIND
    ),
    "an app's token without app roles": Kind(without(_E2_APP, "roles"), Reason.NO_MARK),
    "an app's token with no app role": Kind(without(_E2_APP, roles=[]), Reason.NO_MARK),
    "app roles as a text": Kind(without(_E2_APP, roles="Desk.All"), Reason.NO_MARK),
    "app roles with a number": Kind(without(_E2_APP, roles=["Desk.All", 1]), Reason.NO_MARK),
    "app roles without a client": Kind(without(_E2_APP, "azp"), Reason.NO_MARK),
    "scp that is empty": Kind(without(_E2_CLAIMS, scp=""), Reason.NO_MARK),
    "scp that is blank": Kind(without(_E2_CLAIMS, scp=" "), Reason.NO_MARK),
    "scp as a list": Kind(without(_E2_CLAIMS, scp=["Desk.Read"]), Reason.NO_MARK),
    "a logout token": Kind(logout_token(_E2, API), Reason.NO_MARK),
    "a token for Graph": Kind(without(_E2_CLAIMS, aud="https://graph.microsoft.com"), Reason.AUDIENCE),
    "another tenant's token": Kind(
        without(_E2_CLAIMS, iss=_E2.replace(TENANT, OTHER_TENANT), tid=OTHER_TENANT), Reason.ISSUER
    ),
    "the template of the issuer": Kind(without(_E2_CLAIMS, iss=_E2.replace(TENANT, "{tenantid}")), Reason.ISSUER),
    "the issuer of version 1": Kind(without(_E2_CLAIMS, iss=f"https://sts.windows.net/{TENANT}/"), Reason.ISSUER),
}  # fmt: skip
ENTRA = Provider(
    "entra v2",
    {"issuer": _E2, "audience": [API, f"api://{API}"], "profile": "entra"},
    "JWT",
    _E2_CLAIMS,
    frozenset({"Desk.Read", "Desk.Write"}),
    frozenset({"Agent"}),
    (without(_E2_CLAIMS, "scp", "roles"), without(_E2_CLAIMS, "scp", "azp"), without(_E2_CLAIMS, scp=7)),
    _E2_KINDS,
    {"of an app": _E2_APP, "with the other audience": without(_E2_CLAIMS, aud=f"api://{API}")},
)
_E1 = f"https://sts.windows.net/{TENANT}/"
_E1_CLAIMS = without(
    _E2_CLAIMS, "azp", "azpacr", "name", "preferred_username", "roles", iss=_E1, aud=f"api://{API}", appid=CLIENT,
    appidacr="0", amr=["pwd"], upn="ada@example.org", unique_name="ada@example.org", ipaddr="192.0.2.1", ver="1.0",
)  # fmt: skip
_E1_APP = without(_E1_CLAIMS, "scp", "upn", "unique_name", "amr", roles=["Desk.All"], appidacr="1")
ENTRA_1 = Provider(
    "entra v1",
    {"issuer": _E1, "audience": f"api://{API}", "profile": "entra"},
    "JWT",
    _E1_CLAIMS,
    frozenset({"Desk.Read", "Desk.Write"}),
    frozenset(),
    (without(_E1_CLAIMS, "scp"), without(_E1_CLAIMS, scp=None), without(_E1_APP, "appid")),
    {
        "an ID token": Kind(id_token(_E1, CLIENT, ver="1.0", tid=TENANT, upn="a"), Reason.AUDIENCE),
        "an ID token for the API": Kind(id_token(_E1, f"api://{API}", ver="1.0"), Reason.NO_MARK),
        "a token for the old graph": Kind(
            without(_E1_CLAIMS, aud="https://graph.windows.net"), Reason.AUDIENCE
        ),
        "a token of the portal": Kind(
            without(_E1_CLAIMS, aud="https://management.core.windows.net/"), Reason.AUDIENCE
        ),
        "another tenant's token": Kind(
            without(_E1_CLAIMS, iss=_E1.replace(TENANT, OTHER_TENANT)), Reason.ISSUER
        ),
        "the issuer of version 2": Kind(without(_E1_CLAIMS, iss=_E2), Reason.ISSUER),
        "an app's token without app roles": Kind(without(_E1_APP, "roles"), Reason.NO_MARK),
        "a logout token": Kind(logout_token(_E1, f"api://{API}"), Reason.NO_MARK),
    },
    {"of an app": _E1_APP},
)

# ---- Okta --------------------------------------------------------------------------------------------------

_OK = "https://dev-1234.okta.com/oauth2/default"
_OK_CLAIMS: Claims = {
    "ver": 1,
    "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
    "iss": _OK,
    "aud": "api://default",
    **TIMES,
    "cid": "0oa8iza5l6vnULT5F0h7",
    "uid": "00u8iza5l6vnULT5F0h7",
    "scp": ["openid", "desk"],
    "auth_time": AT - 60,
    "sub": "ada@example.org",
    "groups": ["Everyone", "Agents"],
}
OKTA = Provider(
    "okta",
    {"issuer": _OK, "audience": "api://default", "profile": "okta"},
    None,
    _OK_CLAIMS,
    frozenset({"openid", "desk"}),
    frozenset({"Everyone", "Agents"}),
    (without(_OK_CLAIMS, "cid"), without(_OK_CLAIMS, cid=""), without(_OK_CLAIMS, cid=["0oa8"])),
    {
        "an ID token": Kind(
            id_token(_OK, "0oa8iza5l6vnULT5F0h7", ver=1, jti="ID.x", idp="i", amr=["pwd"]), Reason.AUDIENCE, None
        ),
        "an ID token for the API": Kind(id_token(_OK, "api://default", ver=1), Reason.NO_MARK, None),
        "an ID token with a client": Kind(id_token(_OK, "api://default", cid="0oa8"), Reason.OTHER_KIND, None),
        "a logout token": Kind(logout_token(_OK, "api://default"), Reason.NO_MARK, None),
        "a token of the org's own server": Kind(
            without(_OK_CLAIMS, iss="https://dev-1234.okta.com", aud="https://dev-1234.okta.com"), Reason.ISSUER, None
        ),
        "the type of the org's own tokens": Kind(
            _OK_CLAIMS, Reason.TYPE, "application/okta-internal-at+jwt"
        ),
        "a token of another server": Kind(
            without(_OK_CLAIMS, iss="https://dev-1234.okta.com/oauth2/aus1"), Reason.ISSUER, None
        ),
        "a token for another API": Kind(without(_OK_CLAIMS, aud="api://bank"), Reason.AUDIENCE, None),
        "a scope that hides another": Kind(without(_OK_CLAIMS, scp=["openid admin"]), Reason.SCOPE, None),
        "scopes in lists": Kind(without(_OK_CLAIMS, scp=[["admin"]]), Reason.SCOPE, None),
        "groups that are an object": Kind(without(_OK_CLAIMS, groups={"admin": 1}), Reason.ROLES, None),
        "groups in lists": Kind(without(_OK_CLAIMS, groups=[["admin"]]), Reason.ROLES, None),
    },
    {
        "of a service": without(_OK_CLAIMS, "uid", "groups", "auth_time", sub="0oa8iza5l6vnULT5F0h7", scp=["desk"]),
        "with a scope as a text": without(_OK_CLAIMS, scp="openid desk"),
    },
)  # fmt: skip

# ---- Cognito -----------------------------------------------------------------------------------------------

_CG = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI"
_CG_CLAIMS: Claims = {
    "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "cognito:groups": ["agents"],
    "iss": _CG,
    "version": 2,
    "client_id": "1example23456789",
    "origin_jti": "aaaaaaaa-1",
    "event_id": "bf9d2f7c",
    "token_use": "access",
    "scope": "aws.cognito.signin.user.admin desk/read",
    "auth_time": AT - 60,
    **TIMES,
    "jti": "aaaaaaaa-2",
    "username": "ada",
}
COGNITO = Provider(
    "cognito",
    {"issuer": _CG, "audience": "1example23456789", "profile": "cognito"},
    None,
    _CG_CLAIMS,
    frozenset({"aws.cognito.signin.user.admin", "desk/read"}),
    frozenset({"agents"}),
    (
        without(_CG_CLAIMS, "token_use"),
        without(_CG_CLAIMS, token_use=["access"]),
        without(_CG_CLAIMS, token_use="Access"),
    ),
    {
        "an ID token": Kind(
            id_token(_CG, "1example23456789", token_use="id", **{"cognito:username": "ada"}), Reason.NO_MARK, None
        ),
        "an ID token with a client": Kind(
            id_token(_CG, "1example23456789", token_use="id", client_id="1example23456789"), Reason.NO_MARK, None
        ),
        "an ID token that says it is an access token": Kind(
            id_token(_CG, "1example23456789", token_use="access", client_id="1example23456789"), Reason.OTHER_KIND, None
        ),
        "another client's token": Kind(without(_CG_CLAIMS, client_id="9other"), Reason.AUDIENCE, None),
        "no client and no audience": Kind(without(_CG_CLAIMS, "client_id"), Reason.AUDIENCE, None),
        "a list of clients": Kind(without(_CG_CLAIMS, client_id=["1example23456789"]), Reason.AUDIENCE, None),
        "this client with another API's audience": Kind(
            without(_CG_CLAIMS, aud="https://bank.example"), Reason.AUDIENCE, None
        ),
        "an audience of null": Kind(without(_CG_CLAIMS, aud=None), Reason.AUDIENCE_UNREADABLE, None),
        "another pool's token": Kind(without(_CG_CLAIMS, iss=_CG[:-1] + "X"), Reason.ISSUER, None),
        "a logout token": Kind(logout_token(_CG, "1example23456789"), Reason.NO_MARK, None),
        "groups that are an object": Kind(
            without(_CG_CLAIMS, **{"cognito:groups": {"admin": 1}}), Reason.ROLES, None
        ),
    },
    {
        "of a machine": without(
            _CG_CLAIMS, "username", "cognito:groups", "event_id", "origin_jti",
            sub="1example23456789", scope="desk/read",
        ),
        "with a resource as its audience": without(_CG_CLAIMS, aud=["https://desk", "1example23456789"]),
    },
)  # fmt: skip

# ---- another provider, with a mark of the settings ---------------------------------------------------------

_ANY = "https://zitadel.example"
_ANY_CLAIMS: Claims = {
    "iss": _ANY,
    "aud": ["266", "277"],
    "sub": "288@desk",
    **TIMES,
    "nbf": AT - 5,
    "jti": "j",
    "client_id": "266",
    "kind": "access",
    "scp": ["desk"],
    "scope": "openid",
    "urn:zitadel:iam:org:project:roles": {"agent": {"299": "desk.example"}, "former": {}},
}
ANY = Provider(
    "jwt",
    {
        "issuer": _ANY, "audience": "277", "profile": "jwt", "required_claims": {"kind": ["access"]},
        "scope_claims": ["scope", "scp"], "roles": ["urn:zitadel:iam:org:project:roles.*", "roles"], "clients": ["266"],
    },
    "JWT",
    _ANY_CLAIMS,
    frozenset({"desk", "openid"}),
    frozenset({"agent"}),
    (),
    {
        "an ID token": Kind(id_token(_ANY, "277", client_id="266"), Reason.OTHER_KIND),
        "an ID token without a nonce": Kind(
            without(id_token(_ANY, "277", client_id="266"), "nonce"), Reason.CLAIM
        ),
        "a logout token": Kind(logout_token(_ANY, "277", kind="access", client_id="266"), Reason.OTHER_KIND),
        "no mark": Kind(without(_ANY_CLAIMS, "kind"), Reason.CLAIM),
        "another value of the mark": Kind(without(_ANY_CLAIMS, kind="refresh"), Reason.CLAIM),
        "the mark as an object": Kind(without(_ANY_CLAIMS, kind={"access": True}), Reason.CLAIM),
        "the mark as true": Kind(without(_ANY_CLAIMS, kind=True), Reason.CLAIM),
        "another client": Kind(without(_ANY_CLAIMS, client_id="300"), Reason.CLIENT),
        "no client": Kind(without(_ANY_CLAIMS, "client_id"), Reason.CLIENT),
        "two clients": Kind(without(_ANY_CLAIMS, azp="300"), Reason.CLIENT),
        "a list of clients": Kind(without(_ANY_CLAIMS, client_id=["266"]), Reason.CLIENT),
        "a role that is a text": Kind(
            without(_ANY_CLAIMS, **{"urn:zitadel:iam:org:project:roles": {"admin": "yes"}}), Reason.ROLES
        ),
        "roles that are a list": Kind(
            without(_ANY_CLAIMS, **{"urn:zitadel:iam:org:project:roles": ["admin"]}), Reason.ROLES
        ),
    },
)  # fmt: skip

ALL = (RFC9068, KEYCLOAK, AUTH0, ENTRA, ENTRA_1, OKTA, COGNITO, ANY)
