"""Proofs of possession (RFC 9449) that were used, and the secrets of the nonces for them, for all gateways together.

Keys (after the prefix of keys.py), all with a TTL:

    {proof:<h>}:used   a proof that was used; `<h>` is a hash of the key's thumbprint and the proof's `jti`; for as long
                       as the proof could be accepted
    {nonces}:<period>  32 random bytes, from which the nonces of one period are derived; a period and a half more

Every method raises StoreUnavailable when Redis is away, or refuses the command.
"""

from __future__ import annotations

from .keys import hashed, redis_key
from .redis.client import RedisClient, store_errors


class ProofStore:
    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._secret = redis.script("nonce_secret")

    async def use(self, thumbprint: str, proof_id: str, *, keep: float) -> bool:
        """Record the use of a proof, in one step. Returns False when it was used before. keep: seconds for which the
        proof could be accepted."""
        key = redis_key(f"proof:{hashed(thumbprint, proof_id)}", "used")
        with store_errors("a proof of possession"):
            answer = await self._redis.call("SET", key, "1", "NX", "PX", max(1, int(keep * 1000)))
        return answer is not None

    async def nonce_secret(self, period: int, candidate: bytes, *, keep: float) -> bytes:
        """The secret of this period. candidate: 32 random bytes, which become the secret if it has none yet; keep:
        seconds for which it is stored."""
        with store_errors("the secret of nonces"):
            secret = await self._secret([redis_key("nonces", str(period))], [candidate, int(keep * 1000)])
        return bytes(secret)
