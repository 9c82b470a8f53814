"""The development sign-in: an OpenID provider on loopback where a person is picked from a list, without a password.

Guarantees a real provider: the code flow with PKCE, pushed requests, rotating refresh tokens, UserInfo,
introspection, revocation, RP-initiated and back-channel logout, and faults on demand. Refuses to be reached from
elsewhere: it listens on 127.0.0.1, answers the host names `localhost` and `127.0.0.1`, and does not start for a
gateway whose public URL is not on this machine. `bff dev` starts it as a process; `bff serve` never imports it.
"""
