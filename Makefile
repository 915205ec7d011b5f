# make demo   train adapters on real images in three minutes, print the table
# make test   lint, types and every test
# Both set up the virtual environment first; VENV=<folder> puts it elsewhere.

VENV ?= .venv
PYTHON ?= python3
RUN = $(abspath $(VENV))/bin/python

.PHONY: demo test lint install

demo: install
	@$(RUN) scripts/demo.py

test: lint
	@$(RUN) -m pytest -n 2 --dist loadfile

lint: install
	@$(RUN) -m ruff check . && $(RUN) -m ruff format --check .
	@$(RUN) -m mypy

install:
	@bash scripts/install.sh "$(PYTHON)" "$(VENV)"
