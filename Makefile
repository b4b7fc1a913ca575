# Two commands for a newcomer: `make demo` and `make test`. CI runs `make check` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

unexport PYTHONDONTWRITEBYTECODE # torch compiled anew in each of a hundred processes takes longer than the tests do

.PHONY: demo test check install dev soak clean

demo: install
	$(BIN)/speciate demo text --yes

test: dev # two at a time, so one thread each: more of them wait for one another most of the time
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not soak"

check: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python docs/generate.py --check

soak: dev
	$(BIN)/python -m pytest -n 2 --dist load -m soak -rP --durations=10

install: $(VENV)/.text
dev: $(VENV)/.dev

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.text: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install --no-compile -c constraints.txt -e ".[text]"
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install --no-compile -c constraints.txt -e ".[dev]"
	@touch $@ $(VENV)/.text

clean:
	rm -rf $(VENV) dist .demo
