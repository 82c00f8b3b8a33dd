# Two commands matter: `make demo` and `make test`.  `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STUBS := .venv-proto
RELEASED := proto/released.binpb
DATA ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint types proto proto-check proto-release proto-foreign sync sync-check format clean bench bench-serving bench-copy bench-contamination bench-overlap bench-starts bench-million bench-style bench-kinship bench-attribution bench-teacher bench-semantic-quality bench-semantic bench-trust bench-overload soak mutants

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 20

setup: $(VENV)/.done ## Create .venv with everything in it, and .venv/bin/kinprint

$(VENV)/.server: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[server,traces]'
	@touch $@

$(VENV)/.done: $(VENV)/.server
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

demo: $(VENV)/.server ## Load the sample corpus, or DATA=file, and ask the questions a newcomer would ask
	@$(BIN)/python examples/demo.py $(if $(DATA),--data "$(DATA)")

# A worker of the tests for each core at hand, at most four: each may start a server, which wants a core or two as well.
WORKERS := import os; print(min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))

test: setup proto-check sync-check lint types ## Everything that CI runs: stubs, lint, types, tests
	@echo "compiling kernels"; $(BIN)/python -c "from kinprint.kernels import warm; warm.compile()"
	$(BIN)/python -m pytest -n "$$($(BIN)/python -c '$(WORKERS)')" --dist loadfile

check: lint types proto-check sync-check ## Lint, types, stubs and the generated client without the tests

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/buf lint proto
	$(BIN)/buf breaking proto --against $(RELEASED)

types: setup
	$(BIN)/mypy

format: setup ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The oldest supported generator: newer runtimes accept its code, never the reverse.
$(STUBS)/.done: tools/generate_stubs.py
	$(PYTHON) -m venv $(STUBS)
	$(STUBS)/bin/python -m pip install --quiet 'grpcio-tools==1.71.2' 'protobuf==5.29.6' 'setuptools<81'
	@touch $@

proto: $(STUBS)/.done ## Generate the Python stubs from proto/
	$(STUBS)/bin/python tools/generate_stubs.py

proto-check: $(STUBS)/.done
	@$(STUBS)/bin/python tools/generate_stubs.py --check

# In CI where npm and Go are; `make test` needs neither.
proto-foreign: setup ## Generate TypeScript and Go from proto/, and have their compilers look at it (npm; Debian's golang)
	$(BIN)/python tools/foreign_stubs.py --buf $(BIN)/buf

sync: setup ## Generate the synchronous client from the asyncio one
	$(BIN)/python tools/generate_sync.py

sync-check: setup
	@$(BIN)/python tools/generate_sync.py --check

# The contract that programs in use were made for: nothing of it may change or go.  Renewed with each release.
proto-release: setup ## At a release: pin the contract in proto/ as the one that may not break
	$(BIN)/buf build proto --path proto/kinprint --exclude-source-info -o $(RELEASED)

bench: setup ## Measure loading, restart and search on DATA=file, and write docs/benchmarks.md
	@test -n "$(DATA)" || (echo "name the transcripts: make bench DATA=file.parquet" >&2; exit 1)
	$(BIN)/python benchmarks/spine.py "$(DATA)" --out docs/benchmarks.md

BEFORE ?=
JSON ?=

bench-serving: setup ## Measure searches alone and beside other work, loads, first answers: DATA=file [JSON=out BEFORE=json]
	@test -n "$(DATA)" || (echo "name the transcripts: make bench-serving DATA=file.parquet" >&2; exit 1)
	$(BIN)/python benchmarks/serving.py "$(DATA)" $(if $(JSON),--json "$(JSON)") $(if $(BEFORE),--before "$(BEFORE)") --out docs/benchmarks-serving.md

bench-copy: setup ## Measure the copy channel beside its peers on DATA=file, and write docs/benchmarks-copy.md
	@test -n "$(DATA)" || (echo "name the transcripts: make bench-copy DATA=file.parquet" >&2; exit 1)
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python benchmarks/copy_channel.py "$(DATA)" --out docs/benchmarks-copy.md

bench-contamination: setup ## Measure shared passages beside checks for contamination, on DATA=file
	@test -n "$(DATA)" || (echo "name the transcripts: make bench-contamination DATA=file.parquet" >&2; exit 1)
	$(BIN)/python benchmarks/contamination.py "$(DATA)" --out docs/benchmarks-contamination.md

bench-overlap: setup ## Measure what an overlap of many answers holds, on DATA=file
	@test -n "$(DATA)" || (echo "name the transcripts: make bench-overlap DATA=file.parquet" >&2; exit 1)
	$(BIN)/python benchmarks/overlap_memory.py "$(DATA)"

bench-million: setup ## Measure a million rows made of DATA=file, and write docs/benchmarks-million.md
	@test -n "$(DATA)" || (echo "name the transcripts: make bench-million DATA=file.parquet" >&2; exit 1)
	$(BIN)/python benchmarks/million.py "$(DATA)" --out docs/benchmarks-million.md

bench-style: setup ## Measure how often the nearest neighbour in style is by the same model, on DATA=file
	@test -n "$(DATA)" || (echo "name the transcripts: make bench-style DATA=file.parquet" >&2; exit 1)
	$(BIN)/python benchmarks/style.py "$(DATA)"

FAMILIES ?=
LINEAGE ?=
SECOND ?=

bench-kinship: setup ## Measure how well kinship is found: DATA=file FAMILIES=csv LINEAGE=csv [SECOND=file]
	@test -n "$(DATA)" -a -n "$(FAMILIES)" -a -n "$(LINEAGE)" || (echo "name the files: make bench-kinship DATA=answers.parquet FAMILIES=models.csv LINEAGE=lineage.csv" >&2; exit 1)
	$(BIN)/python benchmarks/kinship.py "$(DATA)" --families "$(FAMILIES)" --lineage "$(LINEAGE)" $(if $(SECOND),--second "$(SECOND)") --out docs/benchmarks-kinship.md

bench-attribution: setup ## Measure how well authors are found: DATA=file FAMILIES=csv
	@test -n "$(DATA)" -a -n "$(FAMILIES)" || (echo "name the files: make bench-attribution DATA=answers.parquet FAMILIES=models.csv" >&2; exit 1)
	$(BIN)/python benchmarks/attribution.py "$(DATA)" --families "$(FAMILIES)" --out docs/benchmarks-attribution.md

bench-teacher: setup ## Measure how well teachers are found: DATA=file FAMILIES=csv LINEAGE=csv
	@test -n "$(DATA)" -a -n "$(FAMILIES)" -a -n "$(LINEAGE)" || (echo "name the files: make bench-teacher DATA=answers.parquet FAMILIES=models.csv LINEAGE=lineage.csv" >&2; exit 1)
	$(BIN)/python benchmarks/teacher.py "$(DATA)" --families "$(FAMILIES)" --lineage "$(LINEAGE)" --out docs/benchmarks-teacher.md

bench-trust: setup ## Measure what digests, TLS, keys and an audit log cost: DATA=file
	@test -n "$(DATA)" || (echo "name the file: make bench-trust DATA=answers.parquet" >&2; exit 1)
	$(BIN)/python benchmarks/trust.py "$(DATA)" --out docs/benchmarks-trust.md

bench-overload: setup ## Measure a server that is asked for five times what it can do
	$(BIN)/python benchmarks/overload.py --seconds 60

bench-starts: setup ## Measure how long a server takes to be ready
	$(BIN)/python benchmarks/starts.py --rows 100000 1000000 --corpora 800

soak: setup ## Kill a server 500 times, flip 10,000 bits, call every RPC 100,000 times with nonsense: an hour
	$(BIN)/python benchmarks/soak.py --kills 500
	$(BIN)/python benchmarks/bitflips.py --cases 10000
	$(BIN)/python benchmarks/fuzz.py --cases 100000
	$(BIN)/python benchmarks/fuzz_files.py --cases 20000

SAMPLE ?= 200
SEED ?= 0

mutants: setup ## Change the source in SAMPLE small ways (0: all), tell which no test notices: [SAMPLE=200 SEED=0 ONLY=path]
	$(BIN)/python -m pip install --quiet --group mutants
	nice -n 10 $(BIN)/python tools/mutants.py --sample "$(SAMPLE)" --seed "$(SEED)" $(if $(ONLY),--only "$(ONLY)") $(if $(JSON),--json "$(JSON)")

bench-semantic-quality: setup ## Measure how near the fast tier of meaning comes to the accurate one: DATA=file
	@test -n "$(DATA)" || (echo "name the file: make bench-semantic-quality DATA=answers.parquet" >&2; exit 1)
	$(BIN)/python benchmarks/semantic_quality.py "$(DATA)"

PEERS ?=
WORK ?=
ONLY ?=

bench-semantic: setup ## Measure the semantic channel: DATA="file..." [PEERS=python WORK=folder JSON=out ONLY=sections]
	@test -n "$(DATA)" || (echo 'name the transcripts: make bench-semantic DATA="file.parquet ..."' >&2; exit 1)
	$(BIN)/python benchmarks/semantic.py $(DATA) $(if $(PEERS),--peers "$(PEERS)") $(if $(WORK),--work "$(WORK)") $(if $(JSON),--json "$(JSON)") $(if $(ONLY),--only "$(ONLY)") --out docs/benchmarks-semantic.md

clean: ## Remove environments, caches and the demo's data
	rm -rf $(VENV) $(STUBS) .foreign .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
