"""Identity: the demo's OpenID provider, built on Authlib; three people, three clients, no passwords."""
