"""`python -m upstreams.payments` serves payments on port 8104."""

from upstreams.kit import ServiceSettings, run
from upstreams.payments.app import build

if __name__ == "__main__":
    run(build, ServiceSettings(), port=8104)
