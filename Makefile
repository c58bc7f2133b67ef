# understudy: `make up` runs it, `make test` tests it. Both make their own virtual environment first; a second run
# finds everything done. Needs Python 3.10-3.12, make and a C compiler. More arguments: make up ARGS="--port 9091"

# Never .venv/bin/SCRIPT: the first line of a script names its Python, and not every path of a clone fits in there.
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# Tried in this order after $(PYTHON); a name on PATH that does not run, or lacks venv, is passed over.
PYTHONS := python3.11 python3.12 python3.10 python3 python
FIT := import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))

.PHONY: help install dev up demo test lint format types e2e audit label-studio bench bench-learning bench-smoke bench-smoke-learning bench-smoke-speed bench-smoke-starts curves docs clean distclean
.DEFAULT_GOAL := help

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

install: $(VENV)/.installed  ## Make .venv with everything that runs.

dev: $(VENV)/.developing  ## Make .venv with the tools of tests and checks as well.

up: install  ## Run everything on this machine until Ctrl-C.
	@$(BIN)/python -m backend up $(ARGS)

demo: install  ## Run everything, with a Label Studio of its own and a ready project.
	@$(BIN)/python -m backend demo $(ARGS)

test: dev  ## Run the tests, on all cores.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not e2e and not gpu" -n auto --dist loadfile $(ARGS)

lint: dev  ## Check style, format and the Dockerfile.
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	bash -n .ci/run
	@if [ -x $(BIN)/hadolint ]; then echo $(BIN)/hadolint docker/Dockerfile; $(BIN)/hadolint docker/Dockerfile; \
	  else echo "no hadolint for this platform: docker/Dockerfile was not checked"; fi

format: dev  ## Rewrite the sources in the project's format.
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

types: dev  ## Check the types.
	$(BIN)/python -m mypy

e2e: dev  ## Drive the real Label Studio.
	$(BIN)/python -m pytest -m e2e -n 2 --dist loadfile $(ARGS)

bench: dev  ## Run every benchmark of speed, then write docs/performance.md (an hour).
	$(BIN)/python -m bench.performance

bench-learning: dev  ## Run every benchmark of learning (hours; the learning curves go on where they stopped).
	$(BIN)/python -m bench.accuracy
	$(BIN)/python -m bench.faithfulness
	mkdir -p artifacts
	$(BIN)/python -m bench.learning --results artifacts/policy.jsonl --out artifacts/learning
	$(BIN)/python -m bench.label_errors
	$(BIN)/python -m bench.trained_head

audit: dev  ## Known vulnerabilities of the pins (needs the network), and an SBOM in artifacts.
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements-audit.txt
	mkdir -p artifacts
	$(BIN)/python -m cyclonedx_py environment $(VENV) --output-format JSON -o artifacts/sbom.json
	$(BIN)/python -m pip_audit --strict --progress-spinner off --no-deps --disable-pip -r requirements.txt

label-studio: install  ## Install the Label Studio of its own that e2e drives (they do so by themselves).
	$(BIN)/python -c "from pathlib import Path; from backend.labelstudio.installation import Installation as I; I(Path('.label-studio'), tell=print).ensure()"

# The other benches (peak, serving, finetune, rescore, scale) run for a moment in tests/test_bench_*.py.
bench-smoke: bench-smoke-learning bench-smoke-speed bench-smoke-starts  ## Run the benchmarks that start the whole product for a moment, to see that they work.

bench-smoke-learning: dev
	$(BIN)/python -m bench.accuracy --labels 16 --held-out 40
	$(BIN)/python -m bench.faithfulness --labels 16 --messages 2 --joined 1
	FINETUNE_STEPS=2 FINETUNE_MIN_PER_CLASS=1 $(BIN)/python -m bench.learning --data examples/support_messages.csv --labels 0,32 --seeds 11

bench-smoke-speed: dev
	$(BIN)/python -m bench.performance --smoke --only hot_swap,webhook,learn_latency

bench-smoke-starts: dev
	$(BIN)/python -m bench.performance --smoke --only setup_latency,swap,start
	$(BIN)/python -m bench.next_task --labels 16 --pool 200 --repeats 20

curves: dev  ## Measure the learning curves of the heads and draw them into docs/learning (an hour; goes on where it stopped).
	mkdir -p artifacts
	$(BIN)/python -m bench.learning --no-finetune --results artifacts/learning.jsonl --out docs/learning

docs: install  ## Write docs/settings.md anew from the settings.
	$(BIN)/python -m backend.docs_settings

clean:  ## Remove what tests and tools leave behind.
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist artifacts *.egg-info
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean  ## Remove the virtual environments as well. Labels and models in .understudy stay.
	rm -rf $(VENV) .venv-label-studio

$(VENV)/.installed: requirements.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --editable .
	@touch $@

$(VENV)/.developing: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	@touch $@

# Order-only above: the link's age says nothing.
$(BIN)/python:
	@for python in $(PYTHON) $(PYTHONS); do \
	  if "$$python" -c '$(FIT)' >/dev/null 2>&1; then \
	    echo "$$python -m venv $(VENV)   ($$("$$python" --version))"; exec "$$python" -m venv --clear $(VENV); \
	  fi; \
	done; \
	echo "Python 3.10, 3.11 or 3.12 with its venv module is needed, and none was found. Debian and Ubuntu:" >&2; \
	echo "apt-get install python3 python3-venv. Elsewhere: make install PYTHON=/path/to/python3.11" >&2; exit 1
