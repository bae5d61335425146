# From a fresh clone: `make serve`. requirements/install.py runs the steps of the set-up and skips what is up to date.

SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
HOST ?= 127.0.0.1
PORT ?= 3000
RAG_EVAL_DATA ?= ../shared/data/xquad
RAG_FILES_DATA ?= ../shared/data/files
SAMPLE ?= 200
MINUTES ?= 30
RAG_EVAL_VERIFICATION_DATA ?= ../shared/data/verification
PROFILE ?= local
ENGINE ?= files
IMAGE ?= rag:1.0.0$(if $(filter gpu,$(PROFILE)),-gpu)
BACKEND ?= $(shell docker info >/dev/null 2>&1 && echo docker || echo buildah)
# Makes a base image where no registry can be reached.
CONTAINER_BASE ?= ../shared/tools/container-base
# Ours and not the service's, which refuses to start on RAG_ names that it does not know.
unexport RAG_EVAL_DATA RAG_EVAL_VERIFICATION_DATA RAG_FILES_DATA

# Nothing that runs asks a hub or reports usage. Models and Bentos are in BentoML's own store: ~/bentoml, or BENTOML_HOME.
export BENTOML_DO_NOT_TRACK := True
export DO_NOT_TRACK := 1
export HF_HUB_OFFLINE := 1
export VLLM_NO_USAGE_STATS := 1
# buildah in a container of its own can neither nest namespaces nor overlays.
export BUILDAH_ISOLATION ?= chroot
export STORAGE_DRIVER ?= vfs

RUN := .venv/bin/python -m
INSTALL = @"$(PYTHON)" requirements/install.py
# In requirements/, so that the lists name no other place.
COMPILE = @cd requirements && ../.venv/bin/uv pip compile --quiet --no-config --generate-hashes \
	--python-version 3.11 --python-platform x86_64-manylinux_2_28 --custom-compile-command "make lock"

.PHONY: help python setup serve dev check test eval everyday drafting bench bench-peers load capacity growth engines endurance faults reading bento image image-test lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# By what it prints and not by its name: a python3.11 on the PATH may be anything.
python:
	@found=$$("$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>&1 | head -n 1); \
	test "$$found" = 3.11 || { echo "setup: Python 3.11 is needed; '$(PYTHON)' says: $$found" >&2; exit 1; }

setup: python ## All that serving needs: packages, models, the example documents' index
	$(INSTALL) venv packages torch weights store index command

serve: setup ## Set up and serve with the local models on http://HOST:PORT
	@exec $(RUN) bentoml serve service:RagService --host $(HOST) --port $(PORT)

# With an index of its own: the fakes' vectors fit no real model's.
dev: export RAG_EMBEDDER_MODEL := fake:
dev: export RAG_RERANKER_MODEL := fake:
dev: export RAG_GENERATOR_MODEL := fake:
dev: export RAG_INDEX_DIR := .data/dev-index
dev: python ## Serve deterministic fake models, ready within seconds
	$(INSTALL) venv packages dev-index command
	@exec $(RUN) bentoml serve service:RagService --host $(HOST) --port $(PORT)

check: python ## Formatting, lint, types, layers, unit and contract tests
	$(INSTALL) venv packages torch command tools promtool
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	.venv/bin/lint-imports
	$(RUN) pytest -n 2 tests/unit tests/contract

test: check setup ## make check, then the tests against a real server with the real models
	$(INSTALL) upstreams runtimes go-client mcp-client clients node-clients
	-$(INSTALL) browser
	$(RUN) pytest tests/integration

eval: setup ## Quality of retrieval and answers on RAG_EVAL_DATA, of the check on RAG_EVAL_VERIFICATION_DATA
	$(RUN) load.evaluation --data "$(RAG_EVAL_DATA)" --verification-data "$(RAG_EVAL_VERIFICATION_DATA)" --sample $(SAMPLE)

everyday: setup ## The everyday questions alone; PART=tuning or PART=held-out asks those of one part
	$(RUN) load.evaluation --everyday $(PART)

drafting: setup ## What drafts of the local generator add to quotations: the everyday tuning part asked both ways
	$(RUN) load.evaluation --drafting

bench: setup ## Speed as ratios measured in one run
	$(RUN) load.bench

bench-peers: setup ## Embedding and answering beside servers of others, as ratios for docs/benchmarks.md; 40 minutes
	$(INSTALL) peers
	$(RUN) load.peers

load: setup ## Load from a seeded open loop; leaves a report with plots in .data/load
	$(RUN) load.driver --scenario mixed --rate 0.2 --duration 45

capacity: setup ## The same from little load to too much, and with more and fewer places; 15 minutes
	$(RUN) load.driver --scenario short --objective e2e:10000 --rates 0.25,0.5,0.75,1,1.5,3 --duration 45 \
	    --warm-up 8 --out .data/load/capacity
	for places in 2 4 16; do RAG_MAX_CONCURRENT_REQUESTS=$$places $(RUN) load.driver --scenario short \
	    --objective e2e:10000 --rate 1.5 --duration 45 --warm-up 8 --out .data/load/places-$$places || exit 1; done

reading: setup ## What is read of RAG_FILES_DATA and of files of known content beside other extractors, for the documentation
	$(INSTALL) extractors
	$(RUN) load.reading "$(RAG_FILES_DATA)" examples/documents

growth: setup ## Search, memory and build time at 1 000 to 1 000 000 synthetic chunks; an hour
	$(RUN) load.growth --out .data/growth
	$(RUN) load.growth.nearest --sizes 51000,100000
	$(RUN) load.growth.adding --sizes 10000,100000

engines: setup ## The same searches in PostgreSQL and Milvus Lite beside files, for docs/engines.md
	$(RUN) load.growth.engines --sizes 1000,10000,100000
	$(RUN) load.growth.milvus --sizes 1000,3000,10000

endurance: setup ## Callers of every kind for MINUTES at fake models; memory, files, threads and tasks into docs/endurance.md
	$(RUN) load.endurance --minutes $(MINUTES)

faults: setup ## What callers see while processes, Valkey, files and the log fail; into docs/faults.md
	$(RUN) load.endurance.faults > docs/faults.md

bento: setup ## Build the Bento of PROFILE (local, gpu) and ENGINE (files, postgresql)
	$(RUN) bentoml build --arg profile=$(PROFILE) --arg engine=$(ENGINE)

image: bento ## Put the Bento into a container image, by Docker where it runs, else by buildah
	$(RUN) bentoml containerize rag:latest --backend $(BACKEND) --image-tag $(IMAGE)

image-test: setup ## Build the local image by buildah as root, run it without rights on a read-only root, ask it, stop it
	$(INSTALL) torch-wheel
	sh deploy/image/base.sh $(CONTAINER_BASE) .data/wheels
	$(MAKE) image BACKEND=buildah IMAGE=$(IMAGE)
	IMAGE=localhost/$(IMAGE) $(RUN) pytest -s tests/image

# uv keeps the versions of a list that exists; remove the list first to take newer ones. The local list goes without
# torch, which has its own, without triton (1 GB): xgrammar alone declares it, and vLLM on CPU disables it; and without
# what would report to openvino's makers.
lock: python ## Remake the pinned lists from requirements/*.in
	$(INSTALL) venv torch-wheel
	$(COMPILE) uv.in --no-deps -o uv.txt
	$(COMPILE) models.in --no-deps -o models.txt
	$(COMPILE) upstreams.in --no-deps -o upstreams.txt
	$(COMPILE) clients.in -o clients.txt
	$(COMPILE) runtimes.in -o runtimes.txt
	$(COMPILE) extractors.in -o extractors.txt
	$(COMPILE) peers.in --no-emit-package torch -o peers.txt --find-links ../.data/wheels
	$(COMPILE) go.in --no-deps -o go.txt
	$(COMPILE) browser.in --no-deps -o browser.txt
	$(COMPILE) local.in --overrides overrides.in --no-emit-package torch --no-emit-package triton \
		--no-emit-package openvino-telemetry -o local.txt \
		--find-links ../.data/wheels
	$(COMPILE) postgres.in --constraints local.txt --no-emit-package typing-extensions -o postgres.txt
	$(COMPILE) milvus.in --constraints local.txt -o milvus.txt
	$(COMPILE) dev.in --constraints local.txt --constraints postgres.txt --constraints milvus.txt -o dev.txt
	$(COMPILE) gpu.in --overrides overrides.in -o gpu.txt

clean: ## Remove what make has made here: .venv, .data with the indexes, caches; the models stay in BentoML's store
	rm -rf .venv .data .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
