.PHONY: repl test test-slow test-busy install bench clean

PYTHON ?= python3

repl: install
	@.venv/bin/gpt2-repl $(ARGS)

test: .venv/dev
	.venv/bin/ruff check -q .
	@.venv/bin/lint-imports --no-logo >/dev/null || .venv/bin/lint-imports --no-logo
	.venv/bin/python -m pytest -q -m "not slow"

test-slow: .venv/dev
	.venv/bin/python -m pytest -q -m slow -o suite_timeout=5400

# A machine on which others work too: what is only sometimes right fails here.
test-busy: .venv/dev
	.venv/bin/python -m pytest -q -m "not slow" -o busy_loops=2

install: .venv/installed

# The peers and the corpora are named in BENCH, for instance BENCH="--llama FOLDER --bpe FOLDER".
bench: .venv/dev
	.venv/bin/python benchmarks/latency.py
	.venv/bin/python benchmarks/decode.py $(BENCH)
	.venv/bin/python benchmarks/scaling.py --plots docs

clean:
	rm -rf .venv build *.egg-info

# What pip and the compilers say goes to the error stream: `make -s repl` prints only text to standard output.
.venv/installed: pyproject.toml constraints.txt
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv; this happens once and takes a minute or two." >&2
	@.venv/bin/pip install -q --disable-pip-version-check -c constraints.txt -e . >&2
	@.venv/bin/python -m gpt2_assist.engine.cpu.compiling
	@.venv/bin/python -m gpt2_assist.originality.compiling
	@.venv/bin/python -m compileall -q .venv/lib >/dev/null 2>&1 || true
	@touch $@

.venv/dev: .venv/installed
	@.venv/bin/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]' >&2
	@touch $@
