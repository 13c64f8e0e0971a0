# The whole interface of this repository; `make` alone lists it.
#
#   PYTHON=python3.12 make setup         another interpreter (3.11 or later)
#   make run ARGS="--listen 127.0.0.1:9000"
#   make test ARGS="tests/engines -x"
#   make build_images DOCKER=podman ARGS="--format docker"

PYTHON ?= python3
ARGS   ?=
# Tests start servers, workers and browsers of their own: more of them at a time make nothing quicker.
JOBS   ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n < 4 ? n : 4)))
BIN    := .venv/bin

# The parallel queue's targets: one of each for the four programs that it came as.
DOCKER   ?= docker
PUBLISH  ?= 127.0.0.1:8080
SURFACES := rest ws html html_ws
APP      := rota-app_
# A container may write into its store and nowhere else. Whoever ran before under this name left its store behind.
RUN       = run --detach --pull never --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges
# Longer than running tasks get, so that it ends by itself.
STOP      = stop -t 40

# The two stamps: what the lock asks for is installed, and so is Rota itself. Their names carry the folder and the
# interpreter, because an environment that was moved, or made by another Python, does not work.
HERE   := $(shell { pwd; $(PYTHON) -c 'import sys; print(sys.base_prefix, sys.version)'; } 2>/dev/null | cksum | cut -d' ' -f1)
LOCKED := .venv/.locked-$(HERE)
READY  := .venv/.ready-$(HERE)

# What the dashboard is built from; building Rota builds it.
UI := $(shell find ui -name node_modules -prune -o -name tests -prune -o -type f -print 2>/dev/null)

# pip remarks on the machine's own settings (index folders that are not there, running as root); nobody can act on them.
PIP    := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore $(BIN)/python -m pip --no-input install --quiet
HUSH   := 2>&1 >/dev/null | { grep -v -E '^(WARNING: (Location|Skipping|The directory)|\[notice\]|$$)' >&2 || true; }

# Whether there is a browser for tests/browser, and what tests run programs with.
CHROMIUM := { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null
SANDBOX  := { command -v bwrap && command -v setpriv && command -v make && command -v cc && command -v zip && command -v /usr/bin/python3; } >/dev/null

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup locked run test check format bench screenshots lock clean
.PHONY: $(foreach one,$(SURFACES),$(addsuffix $(one),local_build_app_ local_run_app_ stop_app_ stop_rm_app_))
.PHONY: $(SURFACES:%=build_app_%_image) $(SURFACES:%=run_app_%_image)
.PHONY: local_build local_test local_tests build_images run_tests show_images stop_all stop_rm_all

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  As the parallel queue had them; X is rest, ws, html or html_ws (DOCKER=podman, PUBLISH=127.0.0.1:8080):"
	@sed -nE 's/^\$$\(SURFACES[^)]*\): //; s/%/X/; s/^([a-z]+_[a-zX_]+)( local_tests)?:.*## (.*)/\1\t\3/p' Makefile \
	    | awk -F '\t' '{ printf "  make %-20s %s\n", $$1, $$2 }'

setup: $(READY) ## build .venv with the locked dependencies (quick when nothing changed)
	@echo "setup: .venv is ready"

run: $(READY) ## serve on http://127.0.0.1:8080 with rota.db in this folder (ARGS="--listen ...")
	@exec $(BIN)/rota serve $(ARGS)

test: $(READY) ## run all tests (ARGS="tests/core -x -k name")
	@failed=0; leave=(); said=(); packages=(); \
	if [ -z "$(ARGS)" ]; then \
	    $(CHROMIUM) || packages+=(chromium); \
	    $(SANDBOX) || packages+=(bubblewrap util-linux make gcc libc6-dev zip python3); \
	fi; \
	if [ "$${#packages[@]}" -gt 0 ]; then \
	    if [ "$$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then \
	        echo "test: installing what tests run in a browser and in a sandbox with: $${packages[*]}"; \
	        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	            apt-get install -y -qq --no-install-recommends "$${packages[@]}"; } >/dev/null </dev/null || true; \
	    fi; \
	    if ! $(CHROMIUM) && [ -z "$${CI:-}" ]; then \
	        leave+=(--ignore=tests/browser); \
	        said+=("tests/browser, because there is no Chromium (Debian: apt-get install chromium)"); \
	    fi; \
	    if ! $(SANDBOX) && [ -z "$${CI:-}" ]; then \
	        leave+=(--ignore=tests/programs --ignore-glob='*/test_*program*.py' \
	            --deselect=tests/docs/test_tour.py::test_a_program_runs \
	            --deselect=tests/fronts/test_jqgo.py::test_the_page_is_typed_along); \
	        said+=("all that runs programs, because the sandbox or its toolchain is missing (Debian: apt-get install bubblewrap util-linux make gcc libc6-dev zip python3)"); \
	    fi; \
	fi; \
	$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),-n $(JOBS) --ignore=tests/test_shape.py "$${leave[@]}") || failed=$$?; \
	for line in "$${said[@]}"; do echo "test: LEFT OUT: $$line" >&2; done; \
	exit $$failed

check: $(READY) ## formatting, lint, types, layers, shape, Dockerfile: all of them, whatever the first ones say
	@failed=0; \
	$(BIN)/ruff format --check --output-format concise . || { echo "check: 'make format' does that" >&2; failed=1; }; \
	$(BIN)/ruff check --output-format concise . || failed=1; \
	$(BIN)/hadolint --no-color Dockerfile || failed=1; \
	$(BIN)/mypy || failed=1; \
	$(BIN)/python hatch_build.py check || failed=1; \
	$(BIN)/lint-imports --no-cache --no-logo || failed=1; \
	$(BIN)/python -m pytest -q tests/test_shape.py || failed=1; \
	exit $$failed

format: $(READY) ## let ruff format the code and mend what it can
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

bench: $(READY) ## measure throughput and latency on this machine (ARGS="--help")
	@$(BIN)/python -m bench $(ARGS)

screenshots: $(READY) ## take the README's pictures anew, of a server at work
	@$(BIN)/python -m tests.browser.screenshots

lock: ## renew requirements.lock and, of it, what the image holds and is built with (UPGRADE=1 takes the newest)
	@place=$$(mktemp -d); trap 'rm -rf "$$place"' EXIT; \
	$(PYTHON) -m venv "$$place"; \
	"$$place/bin/python" -m pip --disable-pip-version-check --no-input install --quiet uv $(HUSH); \
	cp requirements.lock "$$place/lock" 2>/dev/null || true; \
	compile() { "$$place/bin/uv" pip compile --universal --python-version 3.11 --quiet --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-header --no-annotate "$$@" >/dev/null; }; \
	write() { { echo "# $$3 Made by 'make lock'; do not edit."; sed '/^# .* do not edit\.$$/d' "$$1"; } > "$$2"; }; \
	compile pyproject.toml --all-extras $(if $(UPGRADE),--upgrade) --output-file "$$place/lock"; \
	write "$$place/lock" requirements.lock "Every package Rota is built, run and tested with."; \
	compile pyproject.toml --extra kafka --extra otel --extra postgres --constraints requirements.lock --output-file "$$place/server"; \
	write "$$place/server" deploy/image/server.lock "The part of requirements.lock that the image holds."; \
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	    > "$$place/build.in"; \
	compile "$$place/build.in" --constraints requirements.lock --output-file "$$place/build"; \
	write "$$place/build" deploy/image/build.lock "The part of requirements.lock that builds the package."

clean: ## remove .venv and all caches (never a store)
	@rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find src tests bench -name __pycache__ -prune -exec rm -rf {} +

local_build: setup ## build .venv

local_test local_tests: test ## run all tests

$(SURFACES:%=local_build_app_%): local_build_app_%: local_build ## the same: there is but one program

$(SURFACES:%=local_run_app_%): local_run_app_%: $(READY) ## serve with this surface (ARGS="--config local.yaml")
	@exec $(BIN)/rota serve --surface $* $(ARGS)

build_images: $(SURFACES:%=build_app_%_image) ## build all four images (ARGS="--secret id=pip,src=pip.conf")

$(SURFACES:%=build_app_%_image): build_app_%_image: ## build one of them
	@$(DOCKER) build --target app --build-arg SURFACE=$* --tag $(APP)$* $(ARGS) .

run_tests: ## run all tests in a container (ARGS="tests/core -x -k name", BUILD="--secret ...")
	@$(DOCKER) build --target tests --tag rota-tests $(BUILD) .
	@$(DOCKER) run --rm --init --pull never --shm-size 1g rota-tests test $(if $(ARGS),'ARGS=$(ARGS)')

$(SURFACES:%=run_app_%_image): run_app_%_image: ## start it at PUBLISH, with its store in a volume of its name
	@$(DOCKER) rm $(APP)$* >/dev/null 2>&1 || true
	@$(DOCKER) $(RUN) --name $(APP)$* --publish $(PUBLISH):8080 --volume $(APP)$*:/var/lib/rota $(ARGS) $(APP)$*

$(SURFACES:%=stop_app_%): stop_app_%: ## stop it; running tasks may end
	@$(DOCKER) $(STOP) $(APP)$*

$(SURFACES:%=stop_rm_app_%): stop_rm_app_%: stop_app_% ## stop and remove it; its store stays
	@$(DOCKER) rm $(APP)$*

stop_all: ## stop all of them
	@names=$$($(DOCKER) ps --quiet --filter 'name=^$(APP)'); [ -z "$$names" ] || $(DOCKER) $(STOP) $$names

stop_rm_all: stop_all ## stop and remove all of them; their stores stay
	@names=$$($(DOCKER) ps --all --quiet --filter 'name=^$(APP)'); [ -z "$$names" ] || $(DOCKER) rm $$names

show_images: ## list the images of Rota
	@$(DOCKER) images --filter label=org.opencontainers.image.title=rota

locked: $(LOCKED)

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

$(READY): $(LOCKED) pyproject.toml hatch_build.py $(UI)
	@$(PIP) --no-deps --no-build-isolation --editable . $(HUSH)
	@touch $@
