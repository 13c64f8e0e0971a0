# The whole interface of this repository; `make` alone lists it.
#
#   PYTHON=python3.12 make setup         another interpreter (3.11 or later)
#   make run ARGS="--listen 127.0.0.1:9000"
#   make test ARGS="tests/engines -x"

PYTHON ?= python3
ARGS   ?=
# Tests start servers, workers and browsers of their own: more of them at a time make nothing quicker.
JOBS   ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n < 4 ? n : 4)))
BIN    := .venv/bin

# The two stamps: what the lock asks for is installed, and so is Rota itself. Their names carry the folder and the
# interpreter, because an environment that was moved, or made by another Python, does not work.
HERE   := $(shell { pwd; $(PYTHON) -c 'import sys; print(sys.base_prefix, sys.version)'; } 2>/dev/null | cksum | cut -d' ' -f1)
LOCKED := .venv/.locked-$(HERE)
READY  := .venv/.ready-$(HERE)

# pip remarks on the machine's own settings (index folders that are not there, running as root); nobody can act on them.
PIP    := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore $(BIN)/python -m pip --no-input install --quiet
HUSH   := 2>&1 >/dev/null | { grep -v -E '^(WARNING: (Location|Skipping|The directory)|\[notice\]|$$)' >&2 || true; }

# Whether there is a browser for tests/browser.
CHROMIUM := { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup run test check format bench lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## build .venv with the locked dependencies (quick when nothing changed)
	@echo "setup: .venv is ready"

run: $(READY) ## serve on http://127.0.0.1:8080 with rota.db in this folder (ARGS="--listen ...")
	@exec $(BIN)/rota serve $(ARGS)

test: $(READY) ## run all tests (ARGS="tests/core -x -k name")
	@failed=0; leave=(); \
	if [ -z "$(ARGS)" ] && ! $(CHROMIUM); then \
	    if [ "$$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then \
	        echo "test: installing Chromium, in which tests/browser runs"; \
	        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	            apt-get install -y -qq --no-install-recommends chromium; } >/dev/null </dev/null || true; \
	    fi; \
	    if ! $(CHROMIUM) && [ -z "$${CI:-}" ]; then leave=(--ignore=tests/browser); fi; \
	fi; \
	$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),-n $(JOBS) --ignore=tests/test_shape.py "$${leave[@]}") || failed=$$?; \
	if [ "$${#leave[@]}" -gt 0 ]; then \
	    echo "test: LEFT OUT: tests/browser, because there is no Chromium (Debian: apt-get install chromium)" >&2; \
	fi; \
	exit $$failed

check: $(READY) ## formatting, lint, types, layers, shape: all of them, whatever the first ones say
	@failed=0; \
	$(BIN)/ruff format --check --output-format concise . || { echo "check: 'make format' does that" >&2; failed=1; }; \
	$(BIN)/ruff check --output-format concise . || failed=1; \
	$(BIN)/mypy || failed=1; \
	$(BIN)/lint-imports --no-cache --no-logo || failed=1; \
	$(BIN)/python -m pytest -q tests/test_shape.py || failed=1; \
	exit $$failed

format: $(READY) ## let ruff format the code and mend what it can
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

bench: $(READY) ## measure throughput and latency on this machine (ARGS="--help")
	@$(BIN)/python -m bench $(ARGS)

lock: ## renew requirements.lock (UPGRADE=1 takes the newest of everything)
	@place=$$(mktemp -d); trap 'rm -rf "$$place"' EXIT; \
	$(PYTHON) -m venv "$$place"; \
	"$$place/bin/python" -m pip --disable-pip-version-check --no-input install --quiet uv $(HUSH); \
	cp requirements.lock "$$place/lock" 2>/dev/null || true; \
	"$$place/bin/uv" pip compile pyproject.toml --all-extras --universal --python-version 3.11 --quiet \
	    --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
	    $(if $(UPGRADE),--upgrade) --output-file "$$place/lock" >/dev/null; \
	{ echo "# Every package Rota is built, run and tested with. Made by 'make lock'; do not edit."; cat "$$place/lock"; } \
	    | awk '!/^# Every/ || !seen++' > requirements.lock

clean: ## remove .venv and all caches (never a store)
	@rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find src tests bench -name __pycache__ -prune -exec rm -rf {} +

$(LOCKED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "setup: '$(PYTHON)' is not a Python 3.11 or later. Install one (Debian: apt-get install python3 python3-venv)" >&2; \
	    echo "       or name another: make PYTHON=/path/to/python3.12 $(or $(firstword $(MAKECMDGOALS)),setup)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "setup: this Python cannot make environments: its 'venv' or 'ensurepip' module is missing." >&2; \
	    echo "       On Debian and Ubuntu: apt-get install python3-venv" \
	         "(or python$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv)" >&2; exit 1; }
	@echo "setup: building .venv (about a minute the first time)"
	@$(PYTHON) -m venv --clear .venv
	@$(PIP) --require-hashes -r requirements.lock $(HUSH)
	@touch $@

$(READY): $(LOCKED) pyproject.toml
	@$(PIP) --no-deps --no-build-isolation --editable . $(HUSH)
	@touch $@
