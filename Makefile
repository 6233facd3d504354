.PHONY: repl test test-slow test-busy install bench dist clean

PYTHON ?= python3

repl: install
	@.venv/bin/gpt2-repl $(ARGS)

test: .venv/dev
	.venv/bin/ruff check -q .
	@.venv/bin/ty check -qq || .venv/bin/ty check --output-format concise
	@.venv/bin/lint-imports --no-logo >/dev/null || .venv/bin/lint-imports --no-logo
	.venv/bin/python -m pytest -q -n 2 --dist loadfile -m "not slow"

test-slow: .venv/dev
	.venv/bin/python -m pytest -q -m slow -o suite_timeout=5400

# A machine on which others work too: what is only sometimes right fails here.
test-busy: .venv/dev
	.venv/bin/python -m pytest -q -n 2 --dist loadfile -m "not slow" -o busy_loops=2

install: .venv/installed

# Sections of docs/performance.md, and the folders that they want: BENCH="engine LLAMA=FOLDER BPE=FOLDER CACHE=FOLDER".
bench: .venv/dev
	.venv/bin/python benchmarks/page.py $(BENCH)

dist: .venv/dev
	rm -rf dist
	.venv/bin/python -m build -o dist .
	.venv/bin/python -m pytest -q tests/packaging

clean:
	rm -rf .venv build dist *.egg-info

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
