"""A container's health check: `python -I probe.py PORT PATH` exits with 0 when this container answers 200 there within
two seconds, else with 1. It imports as little as possible, because it runs every few seconds in every container."""

import socket
import sys


def main(port: str, path: str) -> int:
    request = f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", int(port)), timeout=2) as link:
            link.sendall(request.encode())
            status = link.recv(64).split(b" ")
    except OSError as error:
        print(f"port {port}: {error}")  # noqa: T201 - the engine stores it as the check's output
        return 1
    return 0 if status[1:2] == [b"200"] else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
