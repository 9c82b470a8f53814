"""bff: a backend-for-frontend gateway with live updates."""

__version__ = "0.1.0"
