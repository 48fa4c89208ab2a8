# make demo   trains on real recordings and writes demo/report.html
# make test   runs all tests and the linter
# Each does all the set-up itself, in a virtual environment of its own.

PYTHON ?= python3.11
VENV ?= .venv
LATEST_VENV ?= .venv-latest

.PHONY: demo test test-latest lint clean

demo: $(VENV)/installed
	$(VENV)/bin/python -m experiments.demo --output_dir=demo

test: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/python -m pytest

# The same tests under the newest TensorFlow, which tensorflow-io does not support.
test-latest: $(LATEST_VENV)/installed-dev
	$(LATEST_VENV)/bin/python -m pytest

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .

$(VENV)/installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(VENV)/bin/python -m pip install --quiet -e '.[dev]'
	touch $@

$(LATEST_VENV)/installed-dev: setup.py tests/latest_requirements.py
	$(PYTHON) -m venv $(LATEST_VENV)
	$(LATEST_VENV)/bin/python -m pip install --quiet --upgrade pip packaging setuptools
	$(LATEST_VENV)/bin/python tests/latest_requirements.py > $(LATEST_VENV)/requirements.txt
	$(LATEST_VENV)/bin/python -m pip install --quiet -r $(LATEST_VENV)/requirements.txt
	$(LATEST_VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf $(VENV) $(LATEST_VENV) demo *.egg-info
