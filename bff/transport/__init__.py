"""Upstream calls on the wire: the steps of one call, the port to the wire, and what an answer means."""
