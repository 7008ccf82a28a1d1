# `make help` tells what there is. Recipes stay short: logic lives in the CLI and in scripts/.
# Stamps inside .venv remember what was installed, so a second run only redoes what changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install -qq
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(ARGS)
TIERS := $(wildcard tests/unit) $(wildcard tests/security) $(wildcard tests/infra) \
	$(wildcard tests/integration) $(wildcard tests/e2e) $(wildcard tests/faults)
# Two files at a time, in their order: the browser of tests/e2e suffers no other tier beside it.
SIDE_BY_SIDE := --numprocesses=2 --dist=loadfile --no-loadscope-reorder
TYPED := src $(wildcard tests/*.py) $(wildcard infra)

# npm comes from a wheel where the machine has none.
NPM := $(if $(shell command -v npm 2>/dev/null),,$(VENV)/.node)

VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/celeriac/__init__.py)
REVISION = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
COMPOSE_ENV = COMPOSE_PROFILES=flask,rabbitmq,redis,celery,flower
COMPOSE = $(COMPOSE_ENV) docker compose
# What does not start says why in its last lines.
COMPOSE_START = $(COMPOSE) up --detach --wait --no-build || { $(COMPOSE) logs --tail 3 >&2; exit 1; }

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help up install assets docker image compose-up compose-backup compose-restore compose-test hosts-test dashboards \
	test unit security integration e2e faults picture check arch audit format lock bench wheel clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  Options: PYTHON=python3.12, ARGS="..." for up, test (and each tier), audit, bench and lock'

up: install assets ## Start everything on this machine, e.g. make up ARGS="--port 8000"
	@$(BIN)/celeriac up $(ARGS)

install: $(VENV)/.runtime ## Make .venv with the pinned dependencies and Celeriac itself

assets: $(VENV)/.runtime $(NPM) ## Build the pages' scripts and styles (only what changed)
	@$(BIN)/python frontend/build.py

docker: ## Tell whether Docker and its Compose plugin are there
	@docker compose version >/dev/null 2>&1 || \
		{ echo "This needs Docker with its Compose plugin: https://docs.docker.com/engine/install/" >&2; exit 1; }

image: docker ## Build the image of every role, celeriac:latest, and tell its size
	docker build --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --tag celeriac $(ARGS) .
	@docker image inspect --format '{{.Size}}' celeriac | awk '{printf "celeriac:latest has %.0f MB\n", $$1 / 1e6}'

compose-up: image ## Start everything in containers, and tell who may sign in first
	@deploy/secrets .env
	$(COMPOSE_START)
	@echo "The UI is on http://127.0.0.1:5000, Flower on http://127.0.0.1:5000/flower/"
	@$(COMPOSE) logs flask | grep --only-matching 'Become the first.*' | tail -n 1

compose-backup: docker ## Save all that the containers keep into FILE, and go on
	$(COMPOSE_ENV) deploy/data save "$(FILE)"

compose-restore: image ## Put what FILE has back where there is no data yet, and start everything
	$(COMPOSE_ENV) deploy/data restore "$(FILE)"
	$(COMPOSE_START)

hosts-test: $(VENV)/.dev $(VENV)/.infra ## Deploy to six simulated hosts, lose each, roll out a version, and count what was lost (root, Docker)
	tests/hosts/run $(ARGS)

dashboards: $(VENV)/.dev assets ## Check that each metric of dashboard and alerts is there, in a system that runs
	$(BIN)/python -m pytest tests/integration/test_monitoring.py $(ARGS)

compose-test: $(VENV)/.dev ## Start everything in containers, kill each, and count what was lost (needs Docker)
	tests/compose/run $(ARGS)

test: $(VENV)/.dev $(VENV)/.infra assets ## Install what the tests need, then run every tier, two files at a time
	@scripts/install-test-servers
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(TIERS) $(ARGS)

unit: ## Run the unit tests only (no network, seconds)
.PHONY: infra
infra: $(VENV)/.infra ## Run the tests of the Pulumi program only, without Pulumi's engine and without AWS
.PHONY: infra-scan
infra-scan: $(VENV)/.infra $(VENV)/.dev $(VENV)/.scan ## Have checkov look at what the Pulumi program asks for
	cd tests && $(abspath $(BIN)/python) infra_scan.py $(abspath $(VENV)/scan/bin/checkov)
security: ## Attack the web with thousands of requests, and tell how many were tried
integration: ## Run the tests against real servers only
e2e: ## Run the tests of the whole system only, with a real browser
unit infra security integration e2e: $(VENV)/.dev assets
	$(BIN)/python -m pytest tests/$@ $(ARGS)

faults: $(VENV)/.dev assets ## Break things while runs are submitted, and write what came of it into docs/reliability.md
	@$(if $(ARGS),,rm -rf .ci/out/faults)
	$(BIN)/python -m pytest tests/faults $(ARGS)
	$(BIN)/python tests/fault_table.py

.PHONY: celery-suite
celery-suite: $(VENV)/.dev ## Run Celery's own integration tests with kombu's transport for RabbitMQ, then with ours
	$(BIN)/python tests/celery_suite.py $(ARGS)

picture: $(VENV)/.dev assets ## Take the README's picture anew
	SCREENSHOTS=docs/images $(BIN)/python -m pytest tests/e2e/test_ui.py -k 'picture and embedded'

check: $(VENV)/.dev $(VENV)/.infra arch ## Check format, lint, types and architecture
	$(BIN)/ruff format --check . && $(BIN)/ruff check .
	$(BIN)/mypy $(TYPED)

arch: $(VENV)/.dev ## Check who imports whom
	$(BIN)/lint-imports

audit: $(VENV)/.audit $(NPM) ## Look up the pinned dependencies among known vulnerabilities (asks the network)
	@for each in dev node audit; do echo "requirements/$$each.txt" && $(VENV)/audit/bin/pip-audit \
		--strict --disable-pip --progress-spinner off -r requirements/$$each.txt $(ARGS) || exit 1; done
	$(BIN)/python frontend/build.py audit

format: $(VENV)/.dev ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

lock: $(VENV)/.dev ## Pin the dependencies anew, e.g. make lock ARGS="--upgrade-package celery"
	$(LOCK) pyproject.toml --group build -o requirements/base.txt
	$(LOCK) pyproject.toml --group dev --constraint requirements/base.txt -o requirements/dev.txt
	$(LOCK) --group infra --constraint requirements/dev.txt -o requirements/infra.txt
	$(LOCK) --group node -o requirements/node.txt
	$(LOCK) --group audit -o requirements/audit.txt
	$(LOCK) --group scan -o requirements/scan.txt

bench: $(VENV)/.dev assets ## Measure: B=live (viewers), B=history (a million runs), B=worker, B=transport, B=submit, B=web_servers
	$(BIN)/python bench/$(or $(B),live).py $(ARGS)

.PHONY: deploy rollout destroy
deploy: $(VENV)/.infra ## Make six hosts on AWS by Pulumi and start everything there, e.g. make deploy STACK=prod
	@$(BIN)/python infra/deploy.py up $(or $(STACK),dev) $(or $(VIA),ssh)

rollout: $(VENV)/.infra ## Bring this checkout's version to the hosts, one after another, and back where it is not healthy; VIA=ssm without SSH
	@$(BIN)/python infra/rollout.py $(or $(STACK),dev) $(or $(VIA),ssh)

destroy: $(VENV)/.infra ## Remove what `make deploy` made, data included, once you have typed its name
	@$(BIN)/python infra/deploy.py down $(or $(STACK),dev)

wheel: $(VENV)/.runtime assets ## Build dist/celeriac-*.whl with the assets inside
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean: ## Remove all that make made; data in .celeriac stays
	rm -rf $(VENV) dist .ci/out frontend/node_modules src/celeriac/web/static/vendor
	find src tests -name __pycache__ -prune -exec rm -rf {} + ; find src -name '*.gz' -delete

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Celeriac needs Python 3.11 or later; '$(PYTHON)' is none. Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "This Python cannot make virtual environments. Try: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements/base.txt pyproject.toml | $(BIN)/python
	@echo "Installing the pinned dependencies into $(VENV)"
	@$(PIP_INSTALL) --require-hashes -r requirements/base.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e . && touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@echo "Installing the pinned tools for tests and checks into $(VENV)"
	@$(PIP_INSTALL) --require-hashes -r requirements/dev.txt && touch $@

# Of the many thousand modules few are ever imported: those are compiled then.
$(VENV)/.infra: requirements/infra.txt $(VENV)/.runtime
	@echo "Installing Pulumi's packages for infra/ into $(VENV)"
	@$(PIP_INSTALL) --no-compile --require-hashes -r requirements/infra.txt && touch $@

# Apart from the rest, since it brings a pip of its own.
$(VENV)/.audit: requirements/audit.txt | $(BIN)/python
	@$(BIN)/python -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip --disable-pip-version-check install -qq --require-hashes -r requirements/audit.txt && touch $@

# Apart as well, for its old versions.
$(VENV)/.scan: requirements/scan.txt | $(BIN)/python
	@$(BIN)/python -m venv $(VENV)/scan
	@$(VENV)/scan/bin/python -m pip --disable-pip-version-check install -qq --require-hashes -r requirements/scan.txt && touch $@

$(VENV)/.node: requirements/node.txt | $(BIN)/python
	@$(PIP_INSTALL) --require-hashes -r requirements/node.txt && touch $@
