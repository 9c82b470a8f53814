"""`python -m upstreams.identity` serves identity on port 8101."""

from upstreams.identity.app import build
from upstreams.identity.settings import IdentitySettings
from upstreams.kit import run

if __name__ == "__main__":
    run(build, IdentitySettings())
