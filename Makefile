# Everything here makes .venv itself and needs nothing but Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint soak browser docs bench clean

demo: .venv/ready
	$(BIN)/twoviews demo

# A process a core, each with one thread: twice as fast as one process with two.
test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --level error

soak: .venv/ready
	$(BIN)/python -m pytest -m soak tests

docs: .venv/ready
	$(BIN)/mkdocs build --strict

browser: .venv/ready
	TWOVIEWS_BROWSER=1 $(BIN)/python -m pytest tests/pages

bench: .venv/bench
	$(BIN)/twoviews bench loss --plot docs/figures/bench_loss.png --json docs/figures/bench_loss.json
	$(BIN)/twoviews bench views --plot docs/figures/bench_views.png --json docs/figures/bench_views.json
	$(BIN)/twoviews bench step --plot docs/figures/bench_step.png --json docs/figures/bench_step.json
	$(BIN)/python benchmarks/chunk.py --json docs/figures/chunk.json
	$(BIN)/python benchmarks/cifar_curve.py

.venv/ready: pyproject.toml requirements/pins.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -e ".[dev]" -c requirements/pins.txt
	touch $@

.venv/bench: .venv/ready
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -e ".[bench]" -c requirements/pins.txt
	touch $@

clean:
	rm -rf .venv site
