"""Settings in real environments: variables that an orchestrator adds, and mistakes in variables and files.

Input: the variables that Kubernetes sets in every pod of a namespace with a Service named `bff` (or `bff-admin`,
`bff-service` …), Docker's links, a CI's `BFF_VERSION`; values with line ends, blanks and byte order marks around them;
ports out of range; a password with `/` or `#` in Redis's address; `bff check desk:nope`.
Right: variables that are not meant as settings are ignored; each mistake is one sentence with the setting's name and
the remedy, counted once, without a secret.
Source: Kubernetes, "Service: environment variables"; Docker, "Legacy container links"; RFC 3986 section 3.2.1.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bff import DeclarationError
from bff.cli import main
from bff.edge.settings import SettingsError, load

DESK = """
from bff import Gateway
app = Gateway("desk")
other = 7
"""


def kubernetes(
    service: str, address: str = "10.0.12.7", port: int = 8000, protocol: str = "tcp"
) -> dict[str, str]:
    """What a pod is given for one Service with a named port."""
    name, upper = service.upper().replace("-", "_"), protocol.upper()
    return {
        f"{name}_SERVICE_HOST": address,
        f"{name}_SERVICE_PORT": str(port),
        f"{name}_SERVICE_PORT_HTTP": str(port),
        f"{name}_PORT": f"{protocol}://{address}:{port}",
        f"{name}_PORT_{port}_{upper}": f"{protocol}://{address}:{port}",
        f"{name}_PORT_{port}_{upper}_PROTO": protocol,
        f"{name}_PORT_{port}_{upper}_PORT": str(port),
        f"{name}_PORT_{port}_{upper}_ADDR": address,
    }


@pytest.mark.parametrize(
    "environ",
    [
        kubernetes("bff"),
        kubernetes("bff-admin", port=8001),
        kubernetes("bff-redis", port=6379),
        kubernetes("bff-service"),
        kubernetes("bff-api-service", "fd00::7"),
        kubernetes("bff-shop--blue", "fd00::7"),
        kubernetes("bff-upstreams", protocol="udp"),
        kubernetes("bff-http", protocol="sctp"),
        {"BFF_NAME": "/web/bff", "BFF_ENV_PATH": "/bin", "BFF_PORT": "tcp://172.17.0.5:8000"},
        {
            "BFF_VERSION": "1.4.2",
            "BFF_GIT_COMMIT": "0af7651",
            "BFF_IMAGE_TAG": "1.4.2",
            "BFF_BUILD_NUMBER": "7",
        },
        {"BFFX_PORT": "tcp://10.0.0.1:1", "MY_BFF_PORT": "x"},
    ],
)
def test_variables_that_an_orchestrator_adds_are_ignored(environ: dict[str, str]) -> None:
    settings = load(environ | {"BFF_HOST": "0.0.0.0"})
    assert (settings.host, settings.port, settings.admin_port) == ("0.0.0.0", 8000, 8001)


@pytest.mark.parametrize(
    "environ",
    [
        {"BFF_PORT": "tcp//10.0.0.1:8000"},
        {"BFF_ADMIN_PORT": "http://10.0.0.1:8000"},
        {"BFF_SERVICE_HOST": "shop.example.org"},
        {"BFF_NAME": "desk"},
        {"BFF_UPSTREAMS__VERSION": "1"},
        {"BFF_HTTP__VERSION": "1"},
    ],
)
def test_a_variable_that_only_resembles_an_added_one_is_a_mistake(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        load(environ)


def test_a_network_may_be_named_as_a_variable_of_kubernetes() -> None:
    settings = load({"BFF_HTTP__NETWORKS__MY_SERVICE_HOST": '["10.0.0.0/8"]'})
    assert settings.http.networks == {"my_service_host": ("10.0.0.0/8",)}


SECRET = "p4ss-w0rd"
REDIS = "BFF_REDIS__URL"
SHELF = "BFF_UPSTREAMS__SHELF__URL"

MESSAGES = [
    ({REDIS: "redis://127.0.0.1:6379/0\n"}, f"{REDIS}: its value has blanks, a line end"),
    ({REDIS: " redis://127.0.0.1:6379/0"}, f"{REDIS}: its value has blanks"),
    ({"BFF_PUBLIC_URL": "https://shop.test\r"}, "BFF_PUBLIC_URL: its value has blanks, a line end"),
    ({"BFF_PUBLIC_URL": "\ufeffhttps://shop.test"}, "BFF_PUBLIC_URL: its value has blanks, a line end or a byte order"),
    ({"\ufeffBFF_PORT": "8002"}, "BFF_PORT: the variable's name has blanks or a byte order mark"),
    ({"BFF_HTTP__HOSTS": '["shop.test "]'}, "BFF_HTTP__HOSTS__0: its value has blanks"),
    ({"BFF_PUBLIC_URL": "https://shop.test/a\nb"}, "BFF_PUBLIC_URL: its value holds a line end"),
    ({"BFF_PUBLIC_URL": '"https://shop.test"'}, "the quotes around it are part of the value here, remove them"),
    ({"BFF_PUBLIC_URL": ""}, "BFF_PUBLIC_URL: must be an address that begins with http:// or https://; it is empty"),
    ({"BFF_PORT": "99999"}, "BFF_PORT: must be at most 65535, not 99999"),
    ({"BFF_PORT": "-1"}, "BFF_PORT: must be at least 0, not -1"),
    ({"BFF_PORT": "80a"}, "BFF_PORT: must be a whole number"),
    ({"BFF_PORT": ""}, "BFF_PORT: must be a whole number; it is empty"),
    ({"BFF_PORT": "8001"}, "BFF_PORT and BFF_ADMIN_PORT are both 8001; give one of them another port"),
    ({"BFF_HOST": "0.0.0.0:8000"}, "BFF_HOST: is a host without a port"),
    ({"BFF_HOST": "[::]"}, "BFF_HOST: is a host alone"),
    ({"BFF_HOST": ""}, "BFF_HOST: is empty: write 127.0.0.1"),
    ({SHELF: "http://shelf:99999"}, f"{SHELF}: has a port that is not a number from 1 to 65535"),
    ({SHELF: "http://shelf:0"}, f"{SHELF}: has a port that is not a number"),
    ({SHELF: "http://shelf:http"}, f"{SHELF}: has a port that is not a number"),
    ({SHELF: "http://[::1"}, f"{SHELF}: must be an address that names a host"),
    ({SHELF: "http://::1:80"}, f"{SHELF}: must be an address that names a host"),
    ({SHELF: "http://fd00::1:80"}, f"{SHELF}: an IPv6 address stands in brackets"),
    ({SHELF: "http://she lf"}, f"{SHELF}: must be an address without blanks"),
    ({REDIS: "redis://127.0.0.1:99999/0"}, f"{REDIS}: has a port that is not a number from 1 to 65535"),
    ({REDIS: f"redis://:{SECRET}/x@127.0.0.1:6379/0"}, f"{REDIS}: its user or password holds one of / # ?; write"),
    ({REDIS: f"redis://:{SECRET}#x@127.0.0.1:6379/0"}, f"{REDIS}: its user or password holds one of / # ?; write"),
    ({REDIS: f"redis://ada:{SECRET}?x@127.0.0.1/0"}, f"{REDIS}: its user or password holds one of / # ?; write"),
    ({REDIS: f"redis://ada:1234/{SECRET}@h:6379/0"}, f"{REDIS}: its user or password holds a /; write"),
    ({REDIS: f"redis://:{SECRET}%x@127.0.0.1:6379/0"}, f"{REDIS}: its user or password holds a %; write"),
    ({REDIS: "redis://127.0.0.1:6379/cache"}, f"{REDIS}: names its database by a number"),
    ({REDIS: "redis://"}, f"{REDIS}: must be an address that names a host"),
    ({REDIS: "127.0.0.1:6379"}, f"{REDIS}: must be an address that begins with redis://"),
    ({REDIS: "redis+sentinel://a:26379,b:99999/main"}, f"{REDIS}: has a port that is not a number"),
    (
        {"BFF_LIVE__RABBITMQ__URL": f"amqp://u:{SECRET}/@mq/", "BFF_LIVE__RABBITMQ__QUEUES": '["q"]'},
        "BFF_LIVE__RABBITMQ__URL: its user or password holds one of / # ?",
    ),
    (
        {"BFF_LIVE__NATS__URL": "nats://a:4222,nats://b:70000", "BFF_LIVE__NATS__STREAM": "s"},
        "BFF_LIVE__NATS__URL: has a port that is not a number",
    ),
    ({"BFF_REDIS_URL": "redis://a"}, "BFF_REDIS_URL: is not a known setting; write BFF_REDIS__URL"),
    ({"BFF_UPSTREAMS__SHELF_URL": "http://a"}, "BFF_UPSTREAMS__SHELF_URL: is a section"),
    ({"BFF_UPSTREAMS__SHELF_URL": "http://a"}, "write BFF_UPSTREAMS__SHELF__URL"),
    ({"BFF_PROT": "1"}, "BFF_PROT: is not a known setting; the nearest is BFF_PORT"),
    ({"BFF_ISSUERS": "[{issuer: x}]"}, "BFF_ISSUERS: must be a JSON list"),
    ({"BFF_HTTP": "x"}, "BFF_HTTP: is a section: set its parts, such as BFF_HTTP__…"),
    ({"BFF_PORT": "8000", "BFF_PORT__X": "1"}, "BFF_PORT__X: BFF_PORT is a value already"),
    ({"BFF_OIDC__CLIENT_ID": "bff", "BFF_OIDC__CLIENT_SECRET": SECRET}, "BFF_OIDC__ISSUER: is missing; set it"),
    ({"BFF_TELEMETRY__LOG_LEVEL": "LOUD"}, "BFF_TELEMETRY__LOG_LEVEL: "),
]  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "desk_settings.py").write_text(DESK)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("environ", "message"), MESSAGES, ids=[message for _, message in MESSAGES])
def test_check_reports_each_mistake_once_in_a_sentence_without_secrets(
    desk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environ: dict[str, str],
    message: str,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["check", "desk_settings:app"]) == 1
    output = capsys.readouterr().err
    assert message in output
    assert output.endswith("\n1 to correct.\n"), output
    assert len(output.strip().splitlines()) == 3
    assert SECRET not in output


def test_each_of_several_mistakes_is_counted(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"BFF_PORT": "99999 ", "BFF_PROT": "1", REDIS: "redis://a:0/x"}.items():
        monkeypatch.setenv(name, value)
    assert main(["check", "desk_settings:nope"]) == 1
    # The blank and the port's range are two mistakes of one variable.
    assert "5 to correct." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("desk_settings:nope", "nope in desk_settings does not exist; write desk_settings:app"),
        ("desk_settings:other", "other in desk_settings is not a Gateway; write desk_settings:app"),
        ("desk_none:app", "desk_none has no Gateway; make one there, such as app = Gateway('app')"),
        ("desk_missing:app", "no module named desk_missing; install it, or run bff in the folder"),
        ("desk_wants:app", "no module named absent_package (desk_wants imports it)"),
        ("desk_typo:app", "desk_typo cannot be imported: invalid syntax"),
        ("desk_fails:app", "desk_fails cannot be imported: NameError: name 'Gatway' is not defined"),
        ("desk_settings", "write module:gateway"),
        ("desk_settings:", "write module:gateway"),
    ],
)
def test_a_target_that_cannot_be_used_is_reported_with_the_remedy(
    desk: Path, capsys: pytest.CaptureFixture[str], target: str, message: str
) -> None:
    (desk / "desk_none.py").write_text("x = 1\n")
    (desk / "desk_wants.py").write_text("import absent_package\n")
    (desk / "desk_typo.py").write_text("def\n")
    (desk / "desk_fails.py").write_text("app = Gatway('x')\n")
    for command in ("check", "routes", "serve"):
        assert main([command, target]) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbfport = 8002\n", "it begins with a byte order mark; save it as UTF-8 without one"),
        ("port = 8002\n".encode("utf-16"), "it is not written in UTF-8"),
        (b'host = "0.0.0.0\t"\n', "BFF_HOST: its value has blanks"),
        (b"port = 99999\n", "BFF_PORT: must be at most 65535, not 99999"),
    ],
)
def test_mistakes_in_a_file_are_reported_in_the_same_way(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "bff.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as raised:
        load({"BFF_SETTINGS": str(file)})
    assert message in str(raised.value)
    assert len(raised.value.mistakes) == 1


def test_a_section_and_its_parts_are_merged_in_any_order() -> None:
    whole = {"BFF_HTTP": '{"hosts": ["a.test"], "headers": 50}'}
    part = {"BFF_HTTP__HEADERS": "60"}
    for environ in (whole | part, part | whole):
        settings = load(environ)
        assert (settings.http.hosts, settings.http.headers) == (("a.test",), 60)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p%2Fw%23x%40@127.0.0.1:6379/0",
        "redis://:p@w@127.0.0.1:6379",
        "rediss://ada:pw@redis.example.org/2?ssl_cert_reqs=none",
        "unix:///run/redis.sock?db=1",
        "redis+sentinel://:pw@a:26379,b:26379/main/1",
        "redis+cluster://[::1]:7000,b",
        "redis://[::1]:6379/0",
        "redis://h:6379/0?password=p@ss",
    ],
)
def test_valid_redis_addresses_are_accepted(url: str) -> None:
    assert load({REDIS: url}).redis.url == url


@pytest.mark.parametrize(
    "url", ["http://h/api/@me", "http://h:80/a,b;c", "http://bücher.example", "http://a_b.c", "http://h."]
)
def test_addresses_of_services_may_have_any_path_and_host(url: str) -> None:
    assert load({SHELF: url}).upstreams["shelf"].url == url


def test_a_mistake_stops_the_start_with_the_same_sentence(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REDIS, "redis://127.0.0.1:6379/0\n")
    with pytest.raises(DeclarationError, match="its value has blanks, a line end"):
        load()
