# make demo        train adapters on real images in two minutes, print the table
# make test        lint, types and the tests, in about eight minutes on two cores
# make test-long   those that start whole clusters and restarts
# All set up the virtual environment first; VENV=<folder> puts it elsewhere.

VENV ?= .venv
PYTHON ?= python3
RUN = $(abspath $(VENV))/bin/python
# Compiled modules are kept: tests start many processes.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test test-long lint install

demo: install
	@$(RUN) scripts/demo.py

test: lint
	@$(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not long"

test-long: install
	@$(RUN) -m pytest -n 2 -m long

lint: install
	@$(RUN) -m ruff check . && $(RUN) -m ruff format --check .
	@$(RUN) -m mypy

install:
	@bash scripts/install.sh "$(PYTHON)" "$(VENV)"
