"""The connection, and what every request goes through before it has a route: the door, trust, the envelope."""
