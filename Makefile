# make demo    trains on real recordings and writes demo/report.html
# make check   what every commit has to pass: lint, format, types, layers, documents, quick tests
# make test    the same, and all other tests; installs chromium by apt where it may
# Each does all the set-up itself, in a virtual environment of its own.

PYTHON ?= python3.11
VENV ?= .venv
LATEST_VENV ?= .venv-latest
# Test processes; each imports TensorFlow once, needs up to 2 GB, and takes whole files of tests.
WORKERS ?= $(shell n=$$(nproc); echo $$(( n < 4 ? n : 4 )))

# The corpus of the documentation's demo; without it the front page says how it is built.
DEBIAN_SOUNDS ?= data/debian_sounds

BIN = $(VENV)/bin
PYTEST = $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: demo check test test-latest lint types layers docs format browser clean

demo: $(VENV)/installed
	$(BIN)/python -m experiments.demo --output_dir=demo

check: lint types layers docs
	$(PYTEST) -m "not slow"

test: browser lint types layers docs
	$(PYTEST)

# The same tests under the newest TensorFlow, which tensorflow-io does not support.
test-latest: $(LATEST_VENV)/installed-dev
	$(LATEST_VENV)/bin/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/installed-dev
	$(BIN)/mypy

layers: $(VENV)/installed-dev
	$(BIN)/lint-imports

docs: $(VENV)/installed-dev
	if [ -e "$(DEBIAN_SOUNDS)/manifest.csv" ] && [ ! -e build/demo/index.html ]; then $(BIN)/python docs/demo.py --corpus="debian-sounds:$(DEBIAN_SOUNDS)" --output_dir=build/demo; fi
	if [ -e mkdocs.yml ]; then NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir build/site; fi

# What pip has not: a browser, in which the pages are tested. Without it those tests are skipped.
browser:
	command -v chromium || { \
		[ "$$(id -u)" = 0 ] && command -v apt-get && apt-get update -q && \
		DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium; \
	} || echo "no chromium: the tests of pages in a browser will be skipped"

$(VENV)/installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

$(LATEST_VENV)/installed-dev: setup.py tests/latest_requirements.py
	$(PYTHON) -m venv $(LATEST_VENV)
	$(LATEST_VENV)/bin/python -m pip install --quiet --upgrade pip packaging 'setuptools>=70.1,<82'
	$(LATEST_VENV)/bin/python tests/latest_requirements.py > $(LATEST_VENV)/requirements.txt
	$(LATEST_VENV)/bin/python -m pip install --quiet -r $(LATEST_VENV)/requirements.txt
	$(LATEST_VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf $(VENV) $(LATEST_VENV) demo build dist *.egg-info
