# Everything a developer needs, from a bare machine with Python 3.11, pip and make.
PYTHON ?= python3.11
BIN := .venv/bin
# node and npm of the environment, before those of the machine
NODE := PATH="$(CURDIR)/$(BIN):$$PATH"
# pins what is installed and what builds it: two installs a month apart are the same
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_BUILD_CONSTRAINT := $(PIP_CONSTRAINT)
# other Pythons that the wheel is checked with, if they are on this machine
ALSO ?= python3.12 python3.13

.PHONY: help setup demo demo-train test dist test-package test-container fuzz faults docs lint lint-python lint-page format bench bench-memory bench-ray test-cluster clean

help:
	@echo "make demo        install the core and see the main job on synthetic data"
	@echo "make test        install everything and run the tests"
	@echo "make dist        build and check the wheel and the sdist, in dist/"
	@echo "make test-package  install the wheel in empty environments, and run every extra there [SUITE=1]"
	@echo "make test-container  build the container images, and run the commands of their page"
	@echo "make setup       .venv with everything for development"
	@echo "make lint        linters, format check and strict type checks, of Python and of the page"
	@echo "make docs        the documentation site, in build/site; broken links fail"
	@echo "make fuzz        test readers with hostile bytes [SECONDS=60] [READER=arrays]"
	@echo "make bench       the speed tables of docs/project/benchmarks.md"
	@echo "make bench-memory  check that memory does not grow with the number and length of videos"
	@echo "make bench-ray   Ray workers compared with the local engine"
	@echo "make faults      kill runs, fill disks, damage files; check that no result is lost"
	@echo "make demo-train  train the demo's networks again"

# the core, pictures and the viewer, no torch
.venv/core: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -e '.[report,server]'
	@touch $@

.venv/dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet torch
	$(BIN)/pip install --quiet -e '.[dev]'
	@touch $@ .venv/core

setup: .venv/dev

demo: .venv/core
	$(BIN)/actspan demo --out demo-output

demo-train: .venv/dev
	$(BIN)/actspan demo --training-set 480 --seed 0 --out build/synthetic
	$(BIN)/actspan train --dataset build/synthetic --tem-hidden 64 --pem-hidden 64 --seed 0 \
	  --restart --force --out build/demo-bundle
	mkdir -p src/actspan/model/demo
	cp $(addprefix build/demo-bundle/,model.toml tem.safetensors pem.safetensors tem.onnx pem.onnx) src/actspan/model/demo/

# worksteal: most modules run in one worker, which makes their services, browsers and videos once
test: .venv/dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

dist: .venv/dev
	rm -rf dist
	$(BIN)/python -m build --outdir dist . > build.log 2>&1 || { cat build.log; rm build.log; exit 1; }
	@rm build.log
	$(BIN)/python .ci/check_dist.py dist

test-package: dist
	$(BIN)/python .ci/smoke.py dist --python $(PYTHON) $(addprefix --also ,$(ALSO)) $(if $(SUITE),--suite)

# with Docker, or with podman, runc, catatonit and debootstrap
test-container: .venv/dev
	$(BIN)/python -m pytest -m "slow or not slow" tests/test_container.py

fuzz: .venv/dev
	$(BIN)/python -m fuzz --seconds $(or $(SECONDS),60) $(addprefix --reader ,$(READER))

docs: .venv/dev
	$(BIN)/python docs/generate_cli.py
	$(BIN)/python docs/generate_settings.py
	$(BIN)/python -m sphinx -b html -W --keep-going -q -d build/doctrees docs build/site
	@echo "The site is build/site/index.html"

lint: lint-python lint-page

lint-python: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint-page: node_modules/.package-lock.json
	$(NODE) node_modules/.bin/tsc --project jsconfig.json
	$(NODE) node_modules/.bin/eslint src eslint.config.js

# the checks of the page's JavaScript; their versions are those of package-lock.json
node_modules/.package-lock.json: package.json package-lock.json .venv/dev
	$(NODE) npm ci --no-audit --no-fund --loglevel=error || { echo "TypeScript and ESLint could not be \
	installed, so the page's JavaScript is not checked. npm needs a package registry: the public one, or \
	that of npm config set registry URL."; exit 1; }
	@touch $@

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# in less than ten minutes on an idle machine; each takes more --rounds and --videos by its own
bench: .venv/dev
	$(BIN)/actspan bench --seconds 2
	$(BIN)/python -m benchmarks.speed --rounds 3
	$(BIN)/python -m benchmarks.stages --rounds 3 --sample 6
	$(BIN)/python -m benchmarks.after_bmn --rounds 3
	$(BIN)/python -m benchmarks.bmn forward --rounds 3 --batch 4
	$(BIN)/python -m benchmarks.commands propose --rounds 3 --videos 600 --sample 4
	$(BIN)/python -m benchmarks.commands evaluate --rounds 3 --videos 1200
	$(BIN)/python -m benchmarks.commands startup
	$(BIN)/python -m benchmarks.scale cells --rounds 3
	$(BIN)/python -m benchmarks.backends --rounds 3 --seconds 1 --no-variants

bench-memory: .venv/dev
	$(BIN)/python -m benchmarks.memory videos
	$(BIN)/python -m benchmarks.memory recordings

faults: .venv/dev
	$(BIN)/python -m benchmarks.faults

bench-ray: .venv/dev
	$(BIN)/python -m benchmarks.ray
	$(BIN)/python -m benchmarks.scale machines

# onnx's own test models through every graph pass
test-onnx: .venv/dev
	$(BIN)/python -m pytest -m slow tests/deploy/passes/test_onnx_models.py

# workers and machines that are lost, an object store that misbehaves
test-cluster: .venv/dev
	$(BIN)/python -m pytest -m "slow or not slow" tests/jobs/cluster

clean:
	rm -rf .venv node_modules build dist demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis
