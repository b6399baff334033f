.DEFAULT_GOAL := help
.PHONY: help serve test test-gpu lint format type bench chaos openapi lock clean

PORT ?= 8000
HOST ?= 127.0.0.1
DEVICE ?= cpu
ARGS ?=
PYTHON ?=
BIN := .venv/bin
SERVE_ENV := .venv/.serve-ready
DEV_ENV := .venv/.dev-ready

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo "  variables: PORT=$(PORT) HOST=$(HOST) DEVICE=$(DEVICE) PYTHON=/path/to/python ARGS=\"more options\""

serve: ## install what running needs into .venv and start the server on PORT
	@sh scripts/check_port.sh $(HOST) $(PORT) "$(PYTHON)"
	@$(MAKE) --no-print-directory $(SERVE_ENV)
	@exec $(BIN)/maskserve serve --host $(HOST) --port $(PORT) $(ARGS)

test: $(DEV_ENV) ## install the test extras and run every test that needs no GPU
	@$(BIN)/python -m pytest $(ARGS)

test-gpu: $(DEV_ENV) ## run the tests that need a CUDA device
	@$(BIN)/python -m pytest -m gpu $(ARGS)

lint: $(DEV_ENV) ## ruff check and format check
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(DEV_ENV) ## fix what ruff can fix
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

type: $(DEV_ENV) ## mypy
	@$(BIN)/mypy

bench: $(DEV_ENV) ## measure on DEVICE=cpu or DEVICE=cuda
	@$(BIN)/python -m bench --device $(DEVICE) $(ARGS)

chaos: $(DEV_ENV) ## kill workers a hundred times while requests run, and count what is lost
	@$(BIN)/python -m tests.chaos $(ARGS)

openapi: $(DEV_ENV) ## regenerate openapi/openapi.json
	@sh scripts/openapi.sh

lock: $(DEV_ENV) ## install what pyproject.toml declares and pin it into the lock files
	@$(BIN)/python -m pip install --quiet -e ".[train,eval,hub,queue,artefacts,test,dev]"
	@$(BIN)/python scripts/lock.py

$(SERVE_ENV): requirements.lock pyproject.toml
	@sh scripts/install.sh requirements.lock "$(PYTHON)"
	@touch $@

$(DEV_ENV): requirements.lock requirements-dev.lock pyproject.toml
	@sh scripts/install.sh requirements-dev.lock "$(PYTHON)"
	@touch $(SERVE_ENV) $@

clean: ## remove .venv and caches
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
