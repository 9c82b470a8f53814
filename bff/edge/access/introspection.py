"""Asks an issuer about tokens that cannot be verified here (RFC 7662), with signed answers if they are set (RFC 9701).

Guarantees that a positive answer is used for at most 30 seconds and never beyond the token's expiry, and a negative one
for five, both bounded in number and stored under the token's hash; that identical questions at the same time are one;
and that at most `IN_FLIGHT` are under way, and `PER_ADDRESS` for one client's address, so that made-up tokens neither
flood the issuer nor keep others from being served. Where no usable answer can be had, what was known is used for one
such period more by requests that only read; all others are refused with 503. The client's secret and the token go to
the issuer's endpoint and nowhere else.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections import Counter, OrderedDict
from dataclasses import dataclass
from math import inf
from urllib.parse import quote_plus, urlencode

from ...calls import Clock
from ...calls.shutdown import cancel_tasks
from ...policies import tokens
from ...policies.introspection import AnswerUnusable, Introspected, answer_rules, read_answer
from ...policies.token_profiles import TokenRules
from ...policies.tokens import Reason, TokenRefused
from ..settings import IntrospectionSettings, IssuerSettings
from .fetch import Fetch, FetchFailed
from .issuer import Issuer

log = logging.getLogger("bff.tokens")

MAX_BELIEFS = 10_000
"""Answers that are stored, positive and negative ones separately; the least recently used one is dropped."""
REFUSED_FOR = 5.0
"""Seconds for which a negative answer is used."""
IN_FLIGHT = 64
"""Questions under way at once; a further one counts as not answered."""
PER_ADDRESS = 8
"""Questions under way at once for clients of one address; an IPv6 network of 64 bits counts as one."""
MAX_ANSWER = 65_536
"""Characters of a signed answer at most."""

LOG_GAP = 5.0
"""Seconds between two log lines about an issuer that cannot be asked."""
RETRY = 1.0
"""Seconds after an unanswered question before the next one is sent: nobody waits for an issuer that hangs."""

ANSWER_TYPE = "token-introspection+jwt"


@dataclass(frozen=True, slots=True)
class _Belief:
    """until: monotonic seconds for which it holds; expires: Unix seconds."""

    found: Introspected
    until: float
    expires: float


class Introspector:
    """Answers about the tokens of one issuer.

    settings   of the issuer, with those of introspection
    issuer     its discovery document and keys
    fetch      must bound the time and the size of an answer
    clock      Unix seconds; monotonic is for ages
    """

    def __init__(
        self,
        settings: IssuerSettings,
        introspection: IntrospectionSettings,
        rules: TokenRules,
        issuer: Issuer,
        fetch: Fetch,
        clock: Clock,
        monotonic: Clock,
    ) -> None:
        self.issuer = settings.issuer
        self.settings = introspection
        self._rules = answer_rules(rules, scope_claims=settings.scope_claims)
        self._documents = issuer
        self._fetch = fetch
        self._clock = clock
        self._monotonic = monotonic
        self._active: OrderedDict[bytes, _Belief] = OrderedDict()
        self._refused: OrderedDict[bytes, tuple[TokenRefused, float]] = OrderedDict()
        self._flights: dict[bytes, asyncio.Task[Introspected | TokenRefused | FetchFailed]] = {}
        self._askers: Counter[str] = Counter()
        self._failure = ""
        self._away_until = self._logged_at = -inf

    async def ask(self, token: str, digest: bytes, *, reads: bool = False, address: str = "") -> Introspected:
        """What the issuer says about the token now. digest: its hash; reads: the request only reads, so an answer that
        is one period older may be used while there is no newer one; address: the client's, "" for the gateway itself.
        Raises TokenRefused, or FetchFailed."""
        now = self._monotonic()
        known = self._believed(digest, now, 0.0)
        if known is not None:
            return known
        refusal, until = self._refused.get(digest, (None, 0.0))
        if refusal is not None and now < until:
            raise refusal.again()
        outcome = await self._question(token, digest, address)
        if isinstance(outcome, FetchFailed) and reads:
            outcome = self._believed(digest, self._monotonic(), self.settings.believed) or outcome
        if isinstance(outcome, TokenRefused):
            raise outcome.again()
        if isinstance(outcome, FetchFailed):
            raise FetchFailed(str(outcome))
        return outcome

    async def close(self) -> None:
        """Cancel the questions under way."""
        await cancel_tasks(list(self._flights.values()))

    def _believed(self, digest: bytes, now: float, spare: float) -> Introspected | None:
        """spare: seconds for which a belief is used beyond its time."""
        belief = self._active.get(digest)
        if belief is None or now >= belief.until + spare or self._clock() >= belief.expires:
            return None
        self._active.move_to_end(digest)
        return belief.found

    async def _question(
        self, token: str, digest: bytes, address: str
    ) -> Introspected | TokenRefused | FetchFailed:
        flight = self._flights.get(digest)
        if flight is None:
            if len(self._flights) >= IN_FLIGHT:
                return FetchFailed(f"{self.issuer} is being asked about {IN_FLIGHT} other tokens")
            if address and self._askers[address] >= PER_ADDRESS:
                return FetchFailed(f"{self.issuer} is being asked about {PER_ADDRESS} tokens of this address")
            if self._monotonic() < self._away_until:
                return FetchFailed(self._failure)
            flight = asyncio.get_running_loop().create_task(
                self._answered(token, digest), name="bff-introspection"
            )
            self._flights[digest] = flight
            self._askers[address] += 1
            flight.add_done_callback(lambda _: self._leave(address))
        # A caller that disconnects must not cancel the question of others.
        return await asyncio.shield(flight)

    def _leave(self, address: str) -> None:
        self._askers[address] -= 1
        if not self._askers[address]:
            del self._askers[address]

    async def _answered(self, token: str, digest: bytes) -> Introspected | TokenRefused | FetchFailed:
        """Ask once, and store the answer."""
        try:
            found = await self._ask(token)
        except TokenRefused as refusal:
            self._active.pop(digest, None)
            self._refused[digest] = refusal, self._monotonic() + REFUSED_FOR
            self._refused.move_to_end(digest)
            _bound(self._refused)
            self._failure = ""
            return refusal
        except FetchFailed as failure:
            self._log(str(failure))
            return failure
        finally:
            self._flights.pop(digest, None)
        self._failure = ""
        expires = found.expires_at + self._rules.leeway
        self._active[digest] = _Belief(found, self._monotonic() + self.settings.believed, expires)
        self._active.move_to_end(digest)
        _bound(self._active)
        return found

    def _log(self, failure: str) -> None:
        # Once for each outage, and not for every odd answer that a made-up token causes.
        if failure != self._failure and self._monotonic() - self._logged_at >= LOG_GAP:
            self._logged_at = self._monotonic()
            log.warning("an issuer cannot be asked about tokens: %s", failure)
        self._failure = failure

    async def _ask(self, token: str) -> Introspected:
        """Raises TokenRefused, or FetchFailed for every answer that says nothing about the token."""
        url, headers, form = await self._request(token)
        try:
            status, received, body = await self._fetch(url, method="POST", headers=headers, body=form)
        except FetchFailed:
            # Other failures may be due to this one token, and must not keep others from being asked about.
            self._away_until = self._monotonic() + RETRY
            raise
        if status in (400, 401, 403):
            raise FetchFailed(
                f"{url} answered {status}: check client_id and client_secret of introspection, and whether this client "
                "may introspect tokens"
            )
        if status != 200:
            raise FetchFailed(f"{url} answered {status}")
        kind = received.get("content-type", "").partition(";")[0].strip().lower()
        try:
            if self.settings.signed:
                answer = await self._signed(body, kind)
            elif kind == "application/json":
                answer = tokens.json_object(body)
            else:
                raise AnswerUnusable("its type is not application/json")
        except (AnswerUnusable, TokenRefused) as fault:
            # This refusal is about the answer, and says nothing of the token.
            raise FetchFailed(f"the answer of {url} cannot be used: {fault}") from None
        try:
            return read_answer(answer, self._rules, issuer=self.issuer, now=self._clock())
        except AnswerUnusable as fault:
            raise FetchFailed(f"the answer of {url} cannot be used: {fault}") from None

    async def _request(self, token: str) -> tuple[str, dict[str, str], bytes]:
        """Address, headers and body of the question."""
        settings = self.settings
        method: str | None = settings.authentication
        if settings.endpoint is not None:
            url = settings.endpoint
        else:
            discovery = self._documents.discovery
            url = await discovery.endpoint("introspection_endpoint")
            offered = (await discovery.document()).get("introspection_endpoint_auth_methods_supported")
            if method is None and isinstance(offered, list) and "client_secret_basic" not in offered:
                method = "client_secret_post"
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "accept": f"application/{ANSWER_TYPE}" if settings.signed else "application/json",
        }
        form = {"token": token, "token_type_hint": "access_token"}
        secret = settings.client_secret.get_secret_value()
        if method == "client_secret_post":
            form |= {"client_id": settings.client_id, "client_secret": secret}
        else:
            # RFC 6749 section 2.3.1: both halves are form-encoded before they are joined.
            pair = f"{quote_plus(settings.client_id)}:{quote_plus(secret)}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        return url, headers, urlencode(form).encode()

    async def _signed(self, body: bytes, kind: str) -> dict[str, object]:
        """The answer inside a signed one (RFC 9701 section 5). Raises AnswerUnusable, TokenRefused or FetchFailed."""
        if kind != f"application/{ANSWER_TYPE}" or not body.isascii():
            raise AnswerUnusable(f"its type is not application/{ANSWER_TYPE}")
        parsed = tokens.parse(body.decode("ascii").strip(), most=MAX_ANSWER)
        tokens.check_type(parsed, {ANSWER_TYPE, f"application/{ANSWER_TYPE}"})
        if tokens.issuer_of(parsed) != self.issuer:
            raise TokenRefused(Reason.ISSUER)
        # Section 5 identifies the resource server, which issuers do by its client or by its audience.
        tokens.check_audience(parsed.claims, {self.settings.client_id, *self._rules.audiences})
        issued = tokens.timestamp(parsed.claims, "iat", Reason.ISSUED)
        if abs(self._clock() - issued) > self._rules.leeway + REFUSED_FOR:
            raise AnswerUnusable("it was not signed just now")
        answer = parsed.claims.get("token_introspection")
        if not isinstance(answer, dict):
            raise AnswerUnusable("it has no token_introspection")
        await self._documents.verify_signature(parsed)
        return answer


def _bound(entries: OrderedDict[bytes, _Belief] | OrderedDict[bytes, tuple[TokenRefused, float]]) -> None:
    if len(entries) > MAX_BELIEFS:
        entries.popitem(last=False)
