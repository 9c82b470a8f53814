"""An nginx that includes the three bodies in a template (SSI): the lower bound, because it does not parse what it
passes on.

`nginx` on PATH, or its path in BENCH_NGINX.
"""

from __future__ import annotations

import os
import shutil
import subprocess

from ..bodies import KINDS, REQUIRED
from ..place import Place
from .contender import WAIT, Ask, Contender

NGINX = os.environ.get("BENCH_NGINX") or shutil.which("nginx")

_CONF = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log error;
events {{ worker_connections 4096; }}
http {{
  access_log off; default_type application/json; keepalive_requests 1000000;
  client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-f; uwsgi_temp_path {folder}/nginx-u; scgi_temp_path {folder}/nginx-s;
  {upstreams}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location ~ "^/open/(?<sku>[^/]+)$" {{
      root {folder}; ssi on; ssi_types application/json; try_files /screen.json =404;
    }}
    {locations}
  }}
}}
"""


def missing() -> str | None:
    return None if NGINX else "nginx is not on PATH, and BENCH_NGINX names none"


def start(place: Place, port: int) -> tuple[list[str], dict[str, str]]:
    upstreams, locations, parts = [], [], []
    for kind in KINDS:
        host = place.services[kind].removeprefix("http://")
        upstreams.append(f"upstream {kind} {{ server {host}; keepalive 300; keepalive_requests 1000000; }}")
        locations.append(
            f"location /{kind}/ {{ internal; proxy_pass http://{kind}; proxy_http_version 1.1; "
            f'proxy_set_header Connection ""; proxy_read_timeout {WAIT:.0f}s; }}'
        )
        body = f'<!--# include virtual="/{kind}/$sku" -->'
        parts.append(
            f'"{kind}":{body}' if kind == REQUIRED else f'"{kind}":{{"state":"ready","data":{body}}}'
        )
    (place.folder / "screen.json").write_text("{" + ",".join(parts) + "}")
    conf = place.folder / "nginx.conf"
    conf.write_text(
        _CONF.format(
            folder=place.folder,
            port=port,
            upstreams="\n  ".join(upstreams),
            locations="\n    ".join(locations),
        )
    )
    return [str(NGINX), "-p", str(place.folder), "-e", str(place.folder / "nginx.log"), "-c", str(conf)], {}


def versions() -> dict[str, str]:
    said = subprocess.run([str(NGINX), "-v"], capture_output=True, text=True, check=True).stderr
    return {"nginx": said.rpartition("/")[2].strip()}


CONTENDER = Contender(
    "nginx SSI (the floor)",
    "includes the bodies in a template and looks at nothing; no limit, no ids, no log",
    Ask("/open/{sku}"),
    start=start,
    missing=missing,
    versions=versions,
)
