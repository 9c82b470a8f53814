"""Ends every process of `bff dev` when `bff dev` itself has ended for any reason, also by SIGKILL.

This program leads the process group of all the others. Its standard input is a pipe whose other end only `bff dev` has
open: the kernel closes that end when `bff dev` ends. Its argument is a folder that is then removed. It runs as a file,
without the packages of the environment, so that it starts in milliseconds and needs little memory.
"""

import os
import shutil
import signal
import sys
import time

# Seconds between SIGTERM and SIGKILL: open streams end with `bye`.
GRACE = 1.0


def main() -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE)
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
