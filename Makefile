.PHONY: help install train test claims lint bench clean

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

help:            ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

install: $(INSTALLED)  ## the virtual environment .venv with the package and all it needs

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

train: install   ## a spectrally normalised DCGAN on digits: ARGS="model=sngan_cnn ..." for anything else
	$(BIN)/python -m lit_gan.train $(ARGS)

test: install    ## ruff and the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python -m pytest -n auto

claims: install  ## every paper's claim, tested; writes docs/claims.md
	$(BIN)/python -m pytest -n auto tests/claims --slow --claims docs/claims.md

lint: install    ## ruff, mending what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: install   ## speed against a hand-written loop
	$(BIN)/python -m lit_gan.bench

clean:           ## removes the virtual environment and build products
	rm -rf .venv build dist src/*.egg-info
