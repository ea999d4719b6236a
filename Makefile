# What there is to do with Statekeeper. Only Python 3.11 or newer and make have to be there before.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run test coverage format bench clean

help:  ## list what there is to do
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

run: $(VENV)/.service  ## serve on http://127.0.0.1:8000, with SQLite under var/; ARGS="--port 9000" is passed on
	@mkdir -p var
	@exec $(BIN)/statekeeper serve --definitions definitions --database sqlite:///var/statekeeper.db $(ARGS)

test: $(VENV)/.dev  ## every check: ruff, mypy, import contracts, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

coverage: $(VENV)/.dev  ## the tests once more, and which branches of lifecycle/ they never take
	$(BIN)/pytest --cov -n 2 --dist loadfile $(ARGS)

format: $(VENV)/.dev  ## set the code in the house's form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev  ## measure against a no-op and a plain version; ARGS="--long-case" is passed on
	$(BIN)/python -m tests.benchmarks.service $(ARGS)

clean:  ## remove what was built; var/ holds your cases and stays
	rm -rf $(VENV) build dist *.egg-info .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps keep pip from running again until what is to be installed has changed.

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[dev]'
	@touch $(VENV)/.dev $(VENV)/.service

$(VENV)/.service: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable .
	@touch $@

# Debian's Python comes without ensurepip: a half-made environment is removed, so that the next try begins afresh.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Statekeeper needs Python 3.11 or newer: make PYTHON=python3.11' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
	  || { rm -rf $(VENV); $(PYTHON) -m virtualenv --quiet $(VENV) 2>/dev/null; } \
	  || { rm -rf $(VENV); echo 'No virtual environment could be made. On Debian: apt-get install python3-venv' >&2; exit 1; }
