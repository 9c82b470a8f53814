"""`python -m upstreams.payments` serves payments on port 8104."""

from upstreams.kit import run
from upstreams.payments.app import build
from upstreams.payments.settings import PaymentsSettings

if __name__ == "__main__":
    run(build, PaymentsSettings())
