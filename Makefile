# Everything runs in a virtual environment inside the checkout; `make help` lists what there is.
.DEFAULT_GOAL := help
.PHONY: help demo weights test test-all test-servers record check bench bench-quick bench-relevance docs lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo
READY := $(VENV)/.ready
RUN_READY := $(VENV)/.run-ready
JOBS ?= 2

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN_READY): $(BIN)/python pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-virtualenv -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-virtualenv --no-deps -e .
	@touch $@

$(READY): $(RUN_READY) requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-virtualenv -r requirements-dev.lock
	@touch $@

demo: $(RUN_READY) ## from nothing to answers: weights, catalogue, six queries
	@BIN=$(BIN) DATA=$(DEMO) sh examples/demo.sh

weights: $(RUN_READY)
	@for model in all-MiniLM-L6-v2 paraphrase-MiniLM-L3-v2 potion-base-8M; do $(BIN)/nearfield model pull $$model; done

test: $(READY) weights ## every test that takes seconds
	$(BIN)/python -m pytest -n $(JOBS)

ALONE := tests/crash tests/unit/api

test-all: $(READY) weights ## the heavy ones: crashes, large imports, real models
	$(BIN)/python -m pytest -m "heavy and not servers" $(ALONE)
	$(BIN)/python -m pytest -m "heavy and not servers" -n $(JOBS) $(ALONE:%=--ignore=%)

test-servers: $(READY) ## the whole suites of engines beside `exact` and `local`; builds Weaviate with Go, fetches OpenSearch with Maven
	$(BIN)/python -m pytest -m servers --record-engines

record: $(READY) ## run every engine's conformance suite and write docs/engines_runs.json
	$(BIN)/python -m pytest --record-engines -m "" tests/unit/engines

check: $(READY) ## style, types, floors, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.generate --check

docs: $(READY) ## write the generated pages of docs/reference
	$(BIN)/python -m docs.generate

bench: $(READY) ## measure all, beside bare parts and other programs: 35 minutes, and some GB for those programs
	$(BIN)/python -m benchmarks

bench-quick: $(READY) weights ## measure search and import beside their floors, and compare with benchmarks/recorded.json
	-$(BIN)/python -m benchmarks.quick

bench-relevance: $(READY) ## measure the ranking on every judged set of ../shared/data
	$(BIN)/python -m benchmarks.relevance

lock: $(READY) ## pin the newest versions the ranges in pyproject.toml allow
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --no-annotate --no-header --no-emit-index-url --no-emit-find-links pyproject.toml --output-file requirements.lock --upgrade
	$(BIN)/uv pip compile --quiet --universal --no-annotate --no-header --no-emit-index-url --no-emit-find-links pyproject.toml --group dev --constraint requirements.lock --output-file requirements-dev.lock --upgrade

clean: ## remove the environment and everything built
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
