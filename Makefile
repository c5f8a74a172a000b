# Every command of the house. `make` alone explains them; `make setup` comes first in all that need packages.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Name a Python (make setup PYTHON=python3.12), or the first of 3.11 to 3.13 on the PATH is taken.
PYTHON ?=
export PYTHON

BIN := .venv/bin
# A mark is written when its step is done; it is out of date as soon as the file that the step reads changes.
RUN := .venv/.run-lock-installed
OURS := .venv/.our-packages-installed
KAFKA := .venv/.kafka-prepared
DEV := .venv/.dev-lock-installed

# The marks of an environment whose Python went away count for nothing.
ifneq ($(shell test -x $(BIN)/python && echo there),there)
.PHONY: $(RUN)
endif

.PHONY: help
help: ## explain these commands
	@echo "Backlot. Needed on the machine: Python 3.11 to 3.13 and make."; echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo; echo "PYTHON=/path/to/python3.12 chooses the Python; ARGS=\"...\" goes on to what test, demo and bench start."

$(RUN): requirements.lock
	@scripts/setup run
	@touch $@

$(OURS): pyproject.toml $(RUN)
	@scripts/setup ours
	@touch $@

$(KAFKA): stack/kafka.lock $(OURS)
	@scripts/setup kafka
	@touch $@

$(DEV): requirements-dev.lock $(RUN)
	@scripts/setup dev
	@touch $@

.PHONY: setup
setup: $(OURS) $(KAFKA) ## make .venv from requirements.lock: all that the demo and the system need

.PHONY: setup-dev
setup-dev: setup $(DEV) ## add requirements-dev.lock: what tests and checks need

.PHONY: demo
demo: setup ## start everything, make the five pictures of a brand kit, save them in demo-output/, stop
	@$(BIN)/backlot demo $(ARGS)

.PHONY: up
up: setup ## start everything in the foreground on stable ports, and print the key
	@$(BIN)/backlot up $(ARGS)

.PHONY: down
down: setup ## stop what `backlot up --detach` started
	@$(BIN)/backlot down

.PHONY: test
test: setup-dev ## run the whole test suite, on a real Kafka and a real Postgres
ifeq ($(strip $(ARGS)),)
	@scripts/test
else
	@$(BIN)/python -m pytest $(ARGS)
endif

.PHONY: test-outside
test-outside: setup-dev ## install ffprobe, Chromium and the glTF validator where they miss, and test with them
	@scripts/outside-tools
	@$(BIN)/python -m pytest -m outside tests/outside $(ARGS)

.PHONY: check
check: setup-dev ## lint, format, types, import contracts, generated documents, compose file, house rules
	@scripts/check

.PHONY: contracts
contracts: setup-dev ## write the documents that are generated from the events: AsyncAPI, JSON Schema, examples
	@$(BIN)/python -m schemas.generate

.PHONY: bench
bench: setup-dev ## measure the system as it runs in production, and print JSON
	@$(BIN)/python -m bench $(ARGS)

.PHONY: lock
lock: ## resolve pyproject.toml anew into both lock files (ARGS=--upgrade takes newer versions)
	@scripts/lock $(ARGS)

.PHONY: clean
clean: ## remove the environment and all caches; what `backlot up` stored in .backlot/ stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache demo-output tests/outside/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
