"""The one place the version is written for Python; a test holds it against pyproject.toml and package.json."""

__version__ = "0.1.0"
