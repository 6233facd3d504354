.PHONY: test clean

.venv/installed: pyproject.toml constraints.txt
	python3 -m venv .venv
	.venv/bin/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

test: .venv/installed
	.venv/bin/python -m pytest -q

clean:
	rm -rf .venv build *.egg-info
