"""`python -m upstreams.notifications` serves notifications on port 8107."""

from upstreams.kit import run
from upstreams.notifications.app import build
from upstreams.notifications.settings import NotificationsSettings

if __name__ == "__main__":
    run(build, NotificationsSettings())
