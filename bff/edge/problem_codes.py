"""Every code of this gateway's problems: title, statuses, cause and cure. The one table behind `Problem`, the page
`/docs/problems` of a gateway, and `docs/reference/problems/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProblemCode:
    """title: the problem's `title`; statuses: those it comes with; cause: what happened; cure: what the one who asked
    can do, and who else can do something. Sentences in plain text, with `code` marked as in Markdown."""

    title: str
    statuses: tuple[int, ...]
    cause: str
    cure: str


CODES: Mapping[str, ProblemCode] = {
    "not-found": ProblemCode(
        "There is nothing at this address",
        (404,),
        "No route has this path, or what it names does not exist or belongs to somebody else. A path that is not in "
        "canonical form (a doubled or encoded slash, a dot segment) gets it, too.",
        "Compare the path with `/docs`, or with what `bff routes` lists. A gateway below a path prefix answers only "
        "below it.",
    ),
    "method-not-allowed": ProblemCode(
        "This address does not take that method",
        (405,),
        "The path exists, but not with this method.",
        "Use one of the methods in the header `Allow`. A view takes `GET` and `HEAD`; a command takes the one method "
        "that it is declared with, `POST` by default.",
    ),
    "invalid-request": ProblemCode(
        "The request does not fit what this route takes",
        (400, 403, 413, 422),
        "A parameter or the body does not match its declaration, the body is not valid JSON, or the head could be read "
        "in two ways.",
        "`errors` names each mistake with a JSON pointer, and in `in` where it is: `path`, `query`, `header`, `cookie` "
        "or `body`. `/docs` shows what the route takes.",
    ),
    "body-too-large": ProblemCode(
        "The body is larger than this route takes",
        (413,),
        "The body has more bytes than `BFF_MAX_BODY`, or than the `upload` of a forward.",
        "Send less. For files declare a forward with an `upload` of its own; raise `BFF_MAX_BODY` only for large JSON.",
    ),
    "head-too-large": ProblemCode(
        "The address or the headers are larger than this server takes",
        (414, 431),
        "The address, the headers together, or their number exceed `BFF_HTTP__TARGET_BYTES`, `BFF_HTTP__HEAD_BYTES` or "
        "`BFF_HTTP__HEADERS`.",
        "Put long input into the body of a command. A browser that sends too many cookies needs fewer of them for this "
        "host.",
    ),
    "too-slow": ProblemCode(
        "The request did not arrive in time",
        (408,),
        "The head or the body came more slowly than `BFF_HTTP__HEAD_TIMEOUT`, `BFF_HTTP__BODY_TIMEOUT` or the least "
        "rate of a forward allow.",
        "Send it again. If it happens on slow lines only, let a proxy buffer requests, or raise the bound.",
    ),
    "misdirected": ProblemCode(
        "This server does not answer for that host",
        (421,),
        "`BFF_HTTP__HOSTS` lists the hosts that are served, and `Host` names another one.",
        "Use the public address. Whoever operates the gateway adds a further name to `BFF_HTTP__HOSTS`; health checks "
        "by address have to send a listed `Host`.",
    ),
    "unsupported-media-type": ProblemCode(
        "This route takes application/json",
        (415,),
        "The body came with another `Content-Type`, or without one.",
        "Send `Content-Type: application/json`. Files go through a forward.",
    ),
    "unauthenticated": ProblemCode(
        "Sign in first",
        (401,),
        "The route is not public, and the request has neither a session cookie nor a bearer token.",
        "In a browser go to `/bff/login?return=…`; an API client sends `Authorization: Bearer`. A route that everybody "
        "may use is declared with `public=True`.",
    ),
    "invalid-token": ProblemCode(
        "The token cannot be accepted",
        (401,),
        "The access token is expired, not meant for this gateway, or not signed by a trusted issuer. `reason` is one "
        "of a closed list (docs/reference/token-reasons.md).",
        "Get a new token from your identity provider. If every token is refused, compare `iss` and `aud` in it with "
        "`BFF_ISSUERS`.",
    ),
    "invalid-proof": ProblemCode(
        "The proof of possession cannot be accepted",
        (401,),
        "The token is bound to a key (DPoP, RFC 9449), and the proof is missing, was used before, or is for another "
        "request. `reason` says which.",
        "Make a new proof for each request, with its method, its address without the query, the time now and the hash "
        "of the token.",
    ),
    "dpop-nonce": ProblemCode(
        "The proof of possession needs a nonce of this server",
        (401,),
        "`BFF_DPOP__NONCE` is on, and the proof has no nonce or an old one.",
        "Repeat the request with a new proof that has the nonce of the header `DPoP-Nonce`.",
    ),
    "invalid-signature": ProblemCode(
        "The message is not signed as it should be",
        (401,),
        "A webhook or an event came without a valid signature, with a time more than minutes away, or with a wrong "
        "secret.",
        "Compare the source's secret with `BFF_WEBHOOKS__<SOURCE>__SECRET` or `BFF_EVENTS__<SOURCE>__SECRET`, and the "
        "clocks of both machines.",
    ),
    "invalid-frontend": ProblemCode(
        "The frontend server is not known",
        (403,),
        "The secret in `BFF-Frontend` is unknown, comes from a network that is not listed for it, or a browser sent "
        "it.",
        "Compare the secret and the networks with `BFF_HTTP__FRONTENDS__<NAME>`. Never send the header from a page.",
    ),
    "step-up-required": ProblemCode(
        "Sign in again for this",
        (401,),
        "The route needs a sign-in that is more recent (`fresh`) or stronger (`acr`) than the present one. Nothing was "
        "done.",
        "Send the person to `login` in the problem, with `return` added. An API client gets a token with the "
        "`max_age` and `acr_values` of `WWW-Authenticate` (RFC 9470).",
    ),
    "forbidden": ProblemCode(
        "This is not allowed",
        (403,),
        "The person lacks a scope or role that the route needs, the address is not in the route's network, or the live "
        "value belongs to somebody else.",
        "Ask for the scope at sign-in (`BFF_OIDC__SCOPES`), or have the role granted. `bff routes` lists what each "
        "route needs.",
    ),
    "csrf": ProblemCode(
        "The request did not come from this site's own page",
        (403,),
        "A write with the session cookie lacks `X-BFF: 1`, or `Sec-Fetch-Site` or `Origin` name another site.",
        "Send `X-BFF: 1` from a page of this site; the client and the explorer do so. Behind a proxy, `BFF_PUBLIC_URL` "
        "must be the address that people see.",
    ),
    "rate-limited": ProblemCode(
        "Too many requests",
        (429,),
        "A limit of the route, the person, the tenant, the client or the address is used up. `violated-policies` "
        "names it.",
        "Wait for `Retry-After`. `RateLimit` says before that how much is left. Limits are declared at the route "
        "(`limit=`) and in `BFF_LIMITS__…`.",
    ),
    "idempotency-key-missing": ProblemCode(
        "This command needs an Idempotency-Key",
        (400,),
        "A `POST` or `PATCH` came without the header `Idempotency-Key`.",
        "Send each new command with a new unique value, and the same value again to retry that command, so that a "
        "retry does not run it twice. The client does both.",
    ),
    "idempotency-key-invalid": ProblemCode(
        "The Idempotency-Key cannot be read",
        (400,),
        "The header came twice, is longer than 255 characters, or is neither a string in quotes nor a bare token.",
        "Send one UUID.",
    ),
    "idempotency-in-flight": ProblemCode(
        "The same command is being carried out right now",
        (409,),
        "A request with this key is under way, here or on another gateway.",
        "Send the same command with the same key after `Retry-After`. You get its one outcome.",
    ),
    "idempotency-mismatch": ProblemCode(
        "This Idempotency-Key was used for another request",
        (422,),
        "The key belongs to a request with another path or body.",
        "Use a new key for each new command. A form that was changed after a failure is a new command.",
    ),
    "idempotency-unknown": ProblemCode(
        "The outcome of this command is not known",
        (409,),
        "The command is declared `safe=False`, and a service that takes no keys did not answer, or the gateway was "
        "killed meanwhile. It may have been carried out.",
        "Read the state first; send a new command with a new key only if nothing was done. A service that honours "
        "`Idempotency-Key` makes this impossible: drop `safe=False` then.",
    ),
    "idempotency-answer-gone": ProblemCode(
        "The answer of this command was too large to be stored",
        (410,),
        "The command ran once; its answer had more bytes than `BFF_IDEMPOTENCY__MAX_BODY`, so a repeat cannot get it.",
        "Read what it has changed. Let the command answer with an id instead of a large document.",
    ),
    "unavailable": ProblemCode(
        "The gateway cannot do this right now",
        (503,),
        "Redis is away or refuses, an opaque token cannot be checked, a journal is being restored, or the gateway has "
        "more requests than it can serve.",
        "Try again after `Retry-After`, a command with the same key. Whoever operates the gateway reads `/readyz`, "
        "which names what is away.",
    ),
    "timeout": ProblemCode(
        "A service did not answer in time",
        (504,),
        "The attempt's limit or the request's deadline passed while a required call was under way.",
        "Try again. If it happens again, ask the owner named in the problem. Where the page can do without the part, "
        "make the call `optional`.",
    ),
    "circuit-open": ProblemCode(
        "A service is not being called for a moment",
        (503,),
        "The service failed repeatedly; its breaker is open and lets a probe through from time to time.",
        "Wait for `Retry-After`. The owner of the service is named; the breaker closes by itself once it answers.",
    ),
    "overloaded": ProblemCode(
        "A service has too much to do",
        (503,),
        "The service answered 429 or 503, or every permit of its bulkhead is in use.",
        "Wait for `Retry-After`. If it is the bulkhead, compare `BFF_UPSTREAMS__<NAME>__BULKHEAD` with what the "
        "service can do.",
    ),
    "unreachable": ProblemCode(
        "A service cannot be reached",
        (502,),
        "No connection to the service was made, or it was lost before the answer.",
        "Whoever operates the gateway runs `bff check --connect`, which tries each address from there.",
    ),
    "failed": ProblemCode(
        "A service failed",
        (502,),
        "The service answered with another 5xx, or with a redirect (none is followed).",
        "Ask the owner named in the problem, with the correlation id: it is in the service's log, too.",
    ),
    "refused": ProblemCode(
        "A service refused the request",
        (400, 402, 403, 404, 409, 410, 412, 413, 422, 423, 428, 451, 502),
        "The service answered 4xx. Where it means something to the person it is passed on with the service's `detail` "
        "and `errors`; every other one is a mistake of the gateway and is 502.",
        "Correct what `errors` names. With 502, compare the call with the description of the service: the log has one "
        "line for each call and status.",
    ),
    "invalid": ProblemCode(
        "A service gave an answer that cannot be used",
        (502,),
        "The answer is not JSON, not valid HTTP, or does not match the model of the call.",
        "The detail names the field. Correct the model, or ask the owner what has changed; `Raw` passes a body on "
        "unread.",
    ),
    "sign-in-failed": ProblemCode(
        "Sign-in failed",
        (400, 403, 502, 503),
        "The identity provider said no, its answer does not belong to a sign-in of this browser, or it cannot be "
        "reached.",
        "Begin again at `/bff/login`. If it fails each time, the log has the provider's reason, and "
        "`bff check --connect` tries its addresses.",
    ),
    "internal": ProblemCode(
        "The gateway made a mistake",
        (500,),
        "The function of a view or command raised an exception that is neither a service's failure nor a `Problem`.",
        "Quote the correlation id when you report it: the log has the traceback under it.",
    ),
}
"""In the order in which a request can meet them."""
