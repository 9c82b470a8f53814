"""The description of a gateway with every kind of declaration, compared with the gateway: schemathesis sends valid and
invalid requests to `bff serve`, and every answer must be one that the description lists."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from ..conftest import free_port, start_program, wait_for_port
from ..unit.edge.access.issuing import ISSUER
from .everything import service
from .gateway import token
from .served import served

CONFIG = """
seed = 1
# An address or a head that is too long is refused as such, however its parts would have been judged.
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "413", "414", "415", "422", "429", "431"]

# What a forward takes is the service's to judge: anything is valid and nothing invalid for the gateway.
[[operations]]
include-path-regex = "/files/|/public/"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "4xx"]
[operations.checks.negative_data_rejection]
expected-statuses = ["2xx", "3xx", "4xx"]

# A key may have been used before (422 as the Idempotency-Key draft has it).
[[operations]]
include-method = ["POST", "PUT", "PATCH", "DELETE"]
exclude-path-regex = "/files/|/public/"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "429", "422"]

# No made-up answer of an identity provider is right (RFC 6749 section 4.1.2, Back-Channel Logout section 2.8).
[[operations]]
include-operation-id = ["bff_callback", "bff_backchannel_logout"]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "400", "401", "403", "404", "409", "429"]

"""


async def check(redis_url: str, folder: Path, examples: int) -> None:
    """Fails with the output of schemathesis when it reports a failure."""
    port = free_port()
    async with served(service()) as behind:
        issuer = {"issuer": ISSUER, "audience": "shop", "jwks_uri": f"{behind}/keys"}
        program = start_program(
            [sys.executable, "-m", "bff", "serve", "tests.wire.everything:served"],
            log=folder / "log",
            env={
                "BFF_PORT": str(port),
                "BFF_ADMIN_PORT": "0",
                "BFF_PUBLIC_URL": f"http://127.0.0.1:{port}",
                "BFF_REDIS__URL": redis_url,
                "BFF_REDIS__TIMEOUT": "10",
                "BFF_ADMISSION__LAG": "10",
                "BFF_ADMISSION__STANDING": "10",
                "BFF_LIMITS__DEFAULT": "100000000/minute",
                "BFF_LIMITS__FAILURES": "100000000/minute",
                "BFF_UPSTREAMS__SHELF__URL": behind,
                "BFF_UPSTREAMS__SHELF__TIMEOUT": "60",
                "BFF_ISSUERS": json.dumps([issuer]),
            },
        )
        try:
            await asyncio.to_thread(wait_for_port, port, process=program.process)
            (folder / "schemathesis.toml").write_text(CONFIG)
            command = ["-c", "from schemathesis.cli import schemathesis; schemathesis()"]
            command += ["--config-file", str(folder / "schemathesis.toml"), "run"]
            command += [
                f"http://127.0.0.1:{port}/openapi.json",
                "--checks",
                "all",
                "--exclude-path",
                "/bff/live",
            ]
            command += ["--continue-on-failure", "--no-color", "--max-examples", str(examples)]
            command += ["--generation-database", "none", "--warnings", "off"]
            # The longest that the token lives.
            command += ["--header", f"Authorization: Bearer {token(exp=2**31)}"]
            ran = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                cwd=folder,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            try:
                output, _ = await ran.communicate()
            finally:
                if ran.returncode is None:
                    ran.kill()
        finally:
            program.kill()
    said = "\n".join(line[:1000] for line in output.decode(errors="replace").splitlines())
    assert "Base URL" in said, said
    print(said[said.find("== SUMMARY") :])
    if ran.returncode:
        pytest.fail(said[said.find("== FAILURES") :], pytrace=False)
    bugs = [line for line in program.log.read_text().splitlines() if "Traceback" in line]
    assert bugs == []


async def test_every_answer_is_listed_in_the_description(redis_url: str, tmp_path: Path) -> None:
    await check(redis_url, tmp_path, 3)


@pytest.mark.slow
async def test_every_answer_is_listed_in_the_description_in_a_long_run(
    redis_url: str, tmp_path: Path
) -> None:
    await check(redis_url, tmp_path, 80)
