.PHONY: help install train sweep report test long docs claims lint bench clean

PYTHON ?= python3
BIN := .venv/bin
NAME ?= sngan_fig1_cifar10
SCALE ?= small
DIR ?= runs/$(NAME)-$(SCALE)
INSTALLED := .venv/installed
INSTALLED_DEV := .venv/installed-dev
CODE := benchmarks docs src tests

help:            ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

install: $(INSTALLED)  ## the virtual environment .venv with the package and what training needs

$(INSTALLED): pyproject.toml
	@echo "Installing lit_gan into .venv. PyTorch is large: this takes minutes the first time, and pip says how far it is."
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --editable .
	touch $@

$(INSTALLED_DEV): $(INSTALLED)
	@echo "Adding what the tests need."
	$(BIN)/python -m pip install --editable '.[dev]'
	touch $@

train: ARGS ?= ema=0.99
train: install   ## a spectrally normalised DCGAN on digits: ARGS="model=sngan_cnn ..." for anything else
	$(BIN)/python -m lit_gan.train $(ARGS)

sweep: install   ## a paper's figure: NAME=sngan_fig1_cifar10 SCALE=small, again to go on; ARGS as for train
	$(BIN)/python -m lit_gan.train sweep=$(NAME) scale=$(SCALE) $(ARGS)

report: install  ## what a sweep came to: DIR=runs/sngan_fig1_cifar10-small
	$(BIN)/python -m lit_gan.report $(DIR)

test: $(INSTALLED_DEV)    ## ruff and the tests that take no process of their own
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not long"

long: $(INSTALLED_DEV)    ## the tests of whole commands and processes, and the quick claims
	$(BIN)/python -m pytest -n auto --dist worksteal -m long

docs: install    ## docs/methods.md, from the configs and the classes they name
	$(BIN)/python -m lit_gan.options --markdown > docs/methods.md.new
	mv docs/methods.md.new docs/methods.md

claims: $(INSTALLED_DEV)  ## every paper's claim, tested; writes docs/claims.md
	$(BIN)/python -m pytest -n auto tests/claims --slow --claims docs/claims.md

lint: $(INSTALLED_DEV)    ## ruff, mending what it can
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

bench: $(INSTALLED_DEV)   ## speed against a hand-written loop
	$(BIN)/python benchmarks/speed.py

clean:           ## removes the virtual environment and build products
	rm -rf .venv build dist src/*.egg-info
