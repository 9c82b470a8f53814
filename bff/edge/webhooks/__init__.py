"""Signed messages from outside: events, and word that something has changed."""
