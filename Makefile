# All commands for working on this project. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
AUDIT := $(VENV)/audit
DEV := $(VENV)/.ready-dev
NODE_STAMP := web/client/node_modules/.ready
PROVIDER_STAMP := tests/wire/oidc/node_modules/.ready
STRAPI_STAMP := tests/wire/strapi/node_modules/.ready
NEXTJS_STAMP := tests/wire/nextjs/node_modules/.ready
BUNDLERS_STAMP := tests/web/bundlers/node_modules/.ready
LINT_STAMP := tests/api/openapi/node_modules/.ready
PUBLISHER_STAMP := tests/publishers/node/node_modules/.ready
COMPOSE ?= docker compose
OBSERVED := deploy/observability
SHOP_ENV ?= .docker/demo.env

export PIP_DISABLE_PIP_VERSION_CHECK := 1

PREFLIGHTS := preflight-demo preflight-observe preflight-check preflight-test preflight-slow preflight-bench preflight-up

.PHONY: observe observability lint-openapi docs reference help demo up down test test-slow check openapi format bench lock audit sbom clean $(PREFLIGHTS)
# Targets run one after the other, under `make -j` too; the file of a failed target is deleted.
.NOTPARALLEL:
.DELETE_ON_ERROR:

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: preflight-demo $(STAMP) ## start the whole shop on http://localhost:8000 (Ctrl-C ends it)
	@$(BIN)/python -m web.shop.demo

observe: preflight-observe $(STAMP) ## start the shop with Prometheus and Alertmanager, and send traces where a collector listens (Ctrl-C ends it)
	@$(BIN)/python -m web.shop.observe

up: preflight-up ## start the whole shop in containers, two gateways behind a proxy (needs Docker with compose)
	@$(COMPOSE) --env-file $(SHOP_ENV) up --build --detach
	@echo "Open https://localhost:$$(sed -n 's/^PUBLIC_PORT=//p' $(SHOP_ENV)) (the certificate is made here: the browser asks once)."

down: ## end the containers and remove them with their data
	@$(COMPOSE) --env-file $(SHOP_ENV) down --volumes --remove-orphans

test: preflight-test check $(PROVIDER_STAMP) $(LINT_STAMP) $(PUBLISHER_STAMP) ## every quick test (first lists what the machine lacks)
	@.ci/tests

test-slow: preflight-slow check $(PROVIDER_STAMP) $(STRAPI_STAMP) $(NEXTJS_STAMP) $(BUNDLERS_STAMP) $(LINT_STAMP) $(PUBLISHER_STAMP) ## the long tests as well
	@.ci/tests slow

lint-openapi: $(DEV) $(LINT_STAMP) ## check the shop's OpenAPI description with redocly and spectral
	@$(BIN)/python -m web.shop.describe > tests/api/openapi/node_modules/.openapi.json
	@cd tests/api/openapi && REDOCLY_TELEMETRY=off npm run --silent lint

check: preflight-check $(DEV) $(NODE_STAMP) ## ruff, mypy, import-linter, the docs site, the client's types
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@.ci/check

docs: preflight-check $(DEV) ## build the documentation site in docs/.site
	@$(BIN)/zensical build --strict --clean -f docs/zensical.toml

reference: preflight-check $(DEV) $(NODE_STAMP) ## write the generated pages of the documentation and the reading times
	@$(BIN)/python -m bff settings > docs/reference/settings.md
	@$(BIN)/python .ci/reference

openapi: preflight-check $(DEV) $(NODE_STAMP) ## generate the page's types of screens, commands and sagas from the gateway's description
	@$(BIN)/python -m web.shop.describe > web/client/node_modules/.openapi.json
	@cd web/client && npm run --silent openapi

observability: preflight-check $(DEV) ## write deploy/observability from the shop's declarations (bff slo export)
	@$(BIN)/bff slo export web.shop.gateway:shop --team Shop --contact '#shop' --rules $(OBSERVED)/rules.yml \
	  --alerts $(OBSERVED)/alerts.yml --routes $(OBSERVED)/alertmanager.yml --dashboards $(OBSERVED)/dashboards

format: preflight-check $(DEV) $(NODE_STAMP) ## rewrite the files in the project's format
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .
	@cd web/client && npm run --silent format -- --write

bench: preflight-bench $(DEV) ## the benchmarks, with their results in benchmarks/*/RESULTS.md: screens, then open streams (20 minutes)
	@$(BIN)/python -m benchmarks --write
	@$(BIN)/python -m benchmarks live --write

lock: preflight-demo $(DEV) ## resolve the dependencies again and write the lists with hashes
	@$(BIN)/python -m pip install -q uv
	@for set in "demo:pyproject.toml --group demo" "dev:pyproject.toml --group demo --group dev" "audit:--group audit"; do \
	  $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    $${set#*:} -o .requirements/$${set%%:*}.txt || exit 1; done

audit: preflight-demo $(AUDIT)/.ready ## check the dependencies for known vulnerabilities (needs the network; Error 75: could not look up)
	@$(BIN)/python .ci/audit.py $(AUDIT)/bin/pip-audit

sbom: ## write the bill of materials, dist/bff.cdx.json (CycloneDX), from the locks
	@$(PYTHON) .ci/sbom.py dist/bff.cdx.json

clean: ## remove what was set up and the demo's data
	@rm -rf $(VENV) .bff docs/.site docs/.cache web/client/node_modules tests/wire/oidc/node_modules tests/wire/strapi/node_modules tests/wire/nextjs/node_modules tests/web/bundlers/node_modules tests/api/openapi/node_modules .mypy_cache .ruff_cache .hypothesis

$(PREFLIGHTS): preflight-%:
	@PYTHON="$(PYTHON)" COMPOSE="$(COMPOSE)" .ci/preflight $*

$(VENV)/bin/python:
	@echo "Making $(VENV) …"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(STAMP): .requirements/demo.txt pyproject.toml upstreams/bff-service/pyproject.toml | $(VENV)/bin/python
	@echo "Installing what the demo needs (about half a minute the first time) …"
	@$(BIN)/python -m pip install -q --require-hashes -r .requirements/demo.txt
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation --no-index -e . -e upstreams/bff-service
	@touch $@

$(DEV): .requirements/dev.txt pyproject.toml upstreams/bff-service/pyproject.toml | $(VENV)/bin/python
	@echo "Installing what the tests need …"
	@$(BIN)/python -m pip install -q --require-hashes -r .requirements/dev.txt
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation --no-index -e . -e upstreams/bff-service
	@touch $@ $(STAMP)

$(AUDIT)/.ready: .requirements/audit.txt | $(VENV)/bin/python
	@echo "Installing the tools for the audit …"
	@$(BIN)/python -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip install -q --require-hashes -r .requirements/audit.txt \
	  || { echo "COULD NOT ASK: the tools could not be installed." >&2; exit 75; }
	@touch $@

$(NODE_STAMP): web/client/package-lock.json
	@cd web/client && npm ci --loglevel=error --no-audit --no-fund >/dev/null
	@touch $@

$(LINT_STAMP): tests/api/openapi/package-lock.json
	@cd tests/api/openapi && npm ci --loglevel=error --no-audit --no-fund
	@touch $@

$(PROVIDER_STAMP): tests/wire/oidc/package-lock.json
	@cd tests/wire/oidc && npm ci --loglevel=error --no-audit --no-fund >/dev/null
	@touch $@

$(PUBLISHER_STAMP): tests/publishers/node/package-lock.json
	@cd tests/publishers/node && npm ci --loglevel=error --no-audit --no-fund >/dev/null
	@touch $@

$(STRAPI_STAMP): tests/wire/strapi/package-lock.json
	@echo "Installing Strapi (300 MB, half a minute) …"
	@cd tests/wire/strapi && npm ci --loglevel=error --no-audit --no-fund >/dev/null
	@touch $@

$(NEXTJS_STAMP): tests/wire/nextjs/package-lock.json
	@echo "Installing Next.js (300 MB, half a minute) …"
	@cd tests/wire/nextjs && npm ci --loglevel=error --no-audit --no-fund >/dev/null
	@touch $@

$(BUNDLERS_STAMP): tests/web/bundlers/package-lock.json
	@echo "Installing bundlers (200 MB, a minute) …"
	@cd tests/web/bundlers && npm ci --loglevel=error --no-audit --no-fund >/dev/null
	@touch $@
