"""The gateway's description compared with the gateway: schemathesis sends valid and invalid requests as nobody, as one
person and as another, and every answer must be one that the description lists.

The stream is left out, because it does not end. Exceptions are listed below with their reasons.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .system import Shop, basket, place, running

ACCEPTED = '["2xx", "3xx", "401", "403", "404", "409", "429", "{}"]'
CONFIG = """
seed = 1
# An address or a head that is too long is refused as such, however its parts would have been judged.
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "413", "414", "415", "422", "429", "431"]

# No made-up answer of an identity provider is right, and the specifications say 400 (RFC 6749 section 4.1.2,
# Back-Channel Logout section 2.8).
[[operations]]
include-operation-id = ["bff_callback", "bff_backchannel_logout"]
[operations.checks.positive_data_acceptance]
expected-statuses = {sign_in}

# Which products are sold is the service's to know (422 `unknown-product`), and a key may have been used before (422 as
# the Idempotency-Key draft has it).
[[operations]]
include-operation-id = ["place_order", "cancel_order", "read_notifications"]
[operations.checks.positive_data_acceptance]
expected-statuses = {command}

[dictionaries.words]
values = {words}
[dictionaries.skus]
values = ["mug-01", "nobody-sells-this"]
[generation.dictionaries]
string = {{ dictionary = "words", probability = 0.3 }}
[parameters]
"path.sku" = {{ dictionary = "skus", probability = 0.5 }}
"path.id" = {{ dictionary = "words", probability = 0.5 }}
"""
PEERS = """
[auth.wfc]
path = {path}
user = "{user}"
peers = ["ada", "grace"]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop of its own: this test buys its stock."""
    with running(tmp_path_factory.mktemp("shop")) as one:
        yield one


async def hold(shop: Shop, folder: Path, user: str | None, examples: int) -> None:
    """Fails with the output of schemathesis when it reports a failure."""
    # An order of each person, so that there is something to find and something that belongs to another person.
    orders = []
    for person in ("ada", "grace"):
        async with shop.api(person) as api:
            answer = await place(api, basket())
            assert answer.status_code == 202
            orders.append(answer.json()["saga"]["id"])
    config = CONFIG.format(
        sign_in=ACCEPTED.format(400),
        command=ACCEPTED.format(422),
        words=json.dumps(["mug-01", "order", *orders]),
    )
    if user is not None:
        people = [
            {
                "name": person,
                "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {shop.token(person)}"}],
            }
            for person in ("ada", "grace")
        ]
        (folder / "people.json").write_text(json.dumps({"auth": people}))
        config += PEERS.format(path=json.dumps(str(folder / "people.json")), user=user)
    (folder / "schemathesis.toml").write_text(config)
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    command += ["--config-file", str(folder / "schemathesis.toml"), "run", f"{shop.url}/openapi.json"]
    command += ["--checks", "all", "--exclude-path", "/bff/live", "--continue-on-failure", "--no-color"]
    command += ["--max-examples", str(examples), "--generation-database", "none", "--warnings", "off"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=folder, check=False)
    said = "\n".join(line[:1000] for line in (ended.stdout + ended.stderr).splitlines())
    assert "Base URL" in said, said
    print(said[said.find("== SUMMARY") :])
    assert shop.gateway is not None and "Traceback" not in shop.gateway.log.read_text()
    if ended.returncode:
        pytest.fail(said[said.find("== FAILURES") :], pytrace=False)


async def test_every_answer_is_listed_in_the_description(shop: Shop, tmp_path: Path) -> None:
    await hold(shop, tmp_path, "ada", 4)


@pytest.mark.slow
@pytest.mark.parametrize("user", [None, "ada", "grace"])
async def test_every_answer_is_listed_in_the_description_in_a_long_run(
    shop: Shop, tmp_path: Path, user: str | None
) -> None:
    await hold(shop, tmp_path, user, 80)
