# Short names for the commands that the README shows in full.
# Programs are found where no PATH is set, too.
PATH ?= /usr/local/bin:/usr/bin:/bin
export PATH
VENV := .venv
PYTHON ?= python3
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
CORES ?= 2
DEMO := $(RUN) FEATPOISON_WARM=1 snakemake --workflow-profile workflow/profiles/default --configfile workflow/config/demo.yaml --cores $(CORES)

.PHONY: setup demo test check bench lint requirements

setup: $(VENV)/.complete

# uv, where there is none, goes into the new environment itself. Bytecode once here: hundreds of short jobs import torch.
$(VENV)/.complete: requirements.txt
	@if command -v uv > /dev/null; then uv venv --quiet --allow-existing --python $(PYTHON) $(VENV); \
	else $(PYTHON) -m venv $(VENV) && $(VENV)/bin/python -m pip install --quiet uv; fi
	$(RUN) uv pip install --quiet --compile-bytecode --python $(VENV)/bin/python --require-hashes --requirement requirements.txt
	@touch $@

demo: setup
	$(DEMO) --quiet rules
	@if [ ! -e figures/demo/report.html ] || [ -n "$$(find figures/demo -newer figures/demo/report.html -type f)" ]; then \
	  $(DEMO) --quiet all --report figures/demo/report.html; fi
	@echo "Tables:   figures/demo/table1.tex  table2.tex  table3.tex  table4.tex  (and .csv, .pdf, .png)"
	@echo "          figures/demo/defences.tex  ablation.tex  transfer.tex  pretraining.tex"
	@echo "Figures:  figures/demo/figure1.pdf ... figure9.pdf, reach.pdf, frontier.pdf, growth.pdf, worth.pdf,"
	@echo "          neighbours.pdf  (and .png)"
	@echo "Claims:   figures/demo/claims.md  statements.md"
	@echo "Report:   figures/demo/report.html"

test: setup
	$(RUN) python -m pytest --numprocesses 2 --dist loadfile

check: setup
	$(RUN) python -m pytest --numprocesses 2 --dist loadfile -m "slow or not slow"

lint: setup
	$(RUN) ruff check scripts tests
	$(RUN) ruff format --check scripts tests
	$(RUN) snakefmt --check Snakefile workflow
	$(RUN) mypy
	$(RUN) python tests/workflow/lint.py

bench: setup
	$(RUN) python scripts/benchmark_library.py --threads 1 benchmarks/library.csv

requirements:
	uv pip compile --quiet pyproject.toml --extra test --extra lint --generate-hashes --universal --python-version 3.11 \
	  --custom-compile-command "make requirements" --output-file requirements.txt
