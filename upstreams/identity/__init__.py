"""Identity: the demo's OpenID provider, built on Authlib; three people, three clients, no passwords."""

from .app import Identity
from .settings import IdentitySettings

__all__ = ["Identity", "IdentitySettings"]
