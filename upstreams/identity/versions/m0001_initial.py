"""The first version. A new database is made as the code declares it: this names where later revisions begin."""

revision = "identity_1"
down_revision = None


def upgrade() -> None:
    """Nothing; see `upstreams/kit/migrate.py`."""
