# Everything goes through uv, which is found on the PATH or brought into .tools; nothing else is needed beforehand.
PYTHON ?= python3
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .tools/bin/uv)
SYNCED := .venv/.synced
# companies' networks have certificates of their own: trust what the system trusts
export UV_SYSTEM_CERTS := 1
export UV_NATIVE_TLS := 1
RUN := $(UV) run --frozen --no-sync

.DEFAULT_GOAL := help
# images: what they are made from, where they belong, what they are called, which of them
BASE ?= debian:bookworm-slim
REGISTRY ?= ghcr.io/khantui
VERSION ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGES ?=

.PHONY: help up test test-unit lint format bench images images-lock clean

help:  ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

up: $(SYNCED)  ## start Khantui here, with the example pipelines (ARGS="--data DIR …" is passed on)
	@$(RUN) khantui up --examples $(ARGS)

test: $(SYNCED)  ## every test that this machine can run (ARGS="-k …" is passed on)
	-@$(RUN) python -m backend.store.server_binary  # built beforehand, where it must be: tests have time limits
	-@$(RUN) python -m tests.s3_fixture
	$(RUN) pytest -n 2 --dist loadfile -m "not kubernetes and not long" $(ARGS)

test-unit: $(SYNCED)  ## the fast tests alone
	$(RUN) pytest -n 2 -m "not slow" tests/unit $(ARGS)

lint: $(SYNCED)  ## style, types, import rules, the lock file
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports --no-logo
	$(UV) lock --check

format: $(SYNCED)  ## put the code in order
	$(RUN) ruff check --fix
	$(RUN) ruff format

bench: $(SYNCED)  ## measure the engine against the floor of this machine
	$(RUN) python -m tests.bench $(ARGS)

images: $(SYNCED)  ## build the images with podman or docker (IMAGES="python r" BASE=… REGISTRY=… VERSION=… PUSH=1)
	$(RUN) python images/build.py --base $(BASE) --registry $(REGISTRY) --version $(VERSION) $(if $(PUSH),--push) $(IMAGES)

images-lock: $(if $(filter uv,$(UV)),,$(UV))  ## pin the Python packages of the images anew, with their hashes
	@for name in python bigquery dataflow duckdb; do \
	  $(UV) pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 \
	    --python-platform linux images/$$name/requirements.in --output-file images/$$name/requirements.txt || exit 1; \
	done

clean:  ## remove what make made here; data and caches in your home stay
	rm -rf .venv .tools dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(SYNCED): pyproject.toml uv.lock | $(if $(filter uv,$(UV)),,$(UV))
	$(UV) sync --frozen --compile-bytecode
	@touch $@

.tools/bin/uv:
	$(PYTHON) .ci/bring-uv .tools
