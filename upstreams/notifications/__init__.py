"""Notifications: what a person is told of their orders, by choreography: it listens, and nobody calls it."""
