# `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
LOWEST ?= .venv-lowest
AUDIT ?= .venv-audit
ARGS ?=
EXPERIMENT ?= shipped
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install train test gpu-check test-lowest drill fuzz check audit format docs tensorboard clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

install: $(VENV)/installed  ## create the virtual environment .venv, with all extras and tools

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

train: install  ## train on the shipped corpus, translate and score its test set (EXPERIMENT=name, ARGS='data.root=…')
	$(BIN)/python -m translate.train experiment=$(EXPERIMENT) $(ARGS)

test: install  ## run the tests
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal $(ARGS)

gpu-check: install  ## check this machine's kernels, updates and decoding, and measure them (ARGS='stages=[kernels,resume]')
	$(BIN)/python -m translate.gpu_check $(ARGS)

test-lowest:  ## run the tests with the lowest versions of all dependencies that pyproject.toml allows (gigabytes)
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --constraint constraints-lowest.txt --editable '.[dev]'
	$(LOWEST)/bin/python -m pytest -n auto --maxprocesses 8 --dist worksteal $(ARGS)

drill: install  ## disturb short runs by faults drawn at random, up to 45 minutes (ARGS='--seed 2')
	$(BIN)/python scripts/drill.py --output build/drill $(ARGS)

fuzz: install  ## read 100,000 hostile inputs with each reader, about an hour (ARGS='yaml --seed 2')
	$(BIN)/python scripts/fuzz.py --examples 100000 $(ARGS)

check: install  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit:  ## list the known vulnerabilities of all dependencies (asks PyPI)
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet pip-audit
	$(AUDIT)/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

format: install  ## fix style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/docs-installed  ## build pages and API reference in build/docs/site; broken links are errors
	$(BIN)/python scripts/build_docs.py
	$(BIN)/zensical build --strict --clean

$(VENV)/docs-installed: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

tensorboard: install  ## show the curves of all runs in runs/ in a browser
	$(BIN)/tensorboard --logdir runs

clean:  ## remove environments, builds and caches, but not runs and data
	rm -rf $(VENV) $(LOWEST) $(AUDIT) build dist *.egg-info .cache .mypy_cache .pytest_cache .ruff_cache
