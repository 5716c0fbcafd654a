# `make demo` and `make test` set up .venv on a fresh machine, then do the job; so does `make reproduce STUDY=NAME`.
# The CPU build of PyTorch comes from its own index on Linux without a GPU:
#   make demo PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PYTHON ?= python3
PIP_FLAGS ?=
BIN := .venv/bin
INSTALL = $(PYTHON) -m venv .venv && $(BIN)/pip install -q --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt

STUDY ?= smoke
STATED = $(wildcard results/$(STUDY)/table.json)

.PHONY: demo test docs reproduce sums cards mutants wheel-check slow clean

demo: .venv/.installed
	$(BIN)/gram solve examples/boards7.txt --all --samples 100 --picture demo.png
	@echo "The picture is in demo.png."

test: .venv/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/basedpyright
	$(BIN)/pytest -q -n auto --dist worksteal

docs: .venv/.dev
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build
	@echo "The first page is docs/_build/index.html."

reproduce: .venv/.installed
	$(BIN)/gram study $(STUDY) --runs runs/reproduced/$(STUDY) --out runs/reproduced/$(STUDY)/table $(if $(STATED),--against $(STATED))

sums:
	$(PYTHON) tests/sums.py

cards: .venv/.dev
	PYTHONPATH=tests $(BIN)/python tests/cards.py

mutants: .venv/.dev
	$(BIN)/python benchmarks/mutants.py

wheel-check:
	$(PYTHON) tests/wheel_check.py --pip-flags "$(PIP_FLAGS)"

slow: .venv/.dev
	$(BIN)/pytest -q -m slow

.venv/.installed: pyproject.toml constraints.txt
	$(INSTALL) -e .
	touch $@

.venv/.dev: pyproject.toml constraints.txt
	$(INSTALL) -e ".[app,dev,docs]"
	touch .venv/.installed $@

clean:
	rm -rf .venv dist build demo.png docs/_build
