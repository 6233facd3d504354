"""Compiled kernels are known by all sources that they are made of."""
import subprocess
import sys
from pathlib import Path

import pytest

from gpt2_assist.engine.cpu import compiling as engine
from gpt2_assist.originality import compiling as originality


@pytest.mark.parametrize("compiling, modules", [
    (engine, "gpt2_assist.engine.cpu.step"),
    (originality, "gpt2_assist.originality.matching_kernels, gpt2_assist.originality.sorting_kernels")],
    ids=["engine", "originality"])
def test_every_module_that_the_kernels_import_is_in_their_name(compiling, modules):
    """Packages' own files hold no numbers."""
    program = (f"import sys, {modules}\n"
               "for name, module in sys.modules.items():\n"
               "    if name.startswith('gpt2_assist.') and not hasattr(module, '__path__'): print(module.__file__)")
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    found = {Path(line).resolve() for line in loaded.splitlines()}
    assert found and found <= {path.resolve() for path in compiling.sources()}
    assert Path(compiling.__file__).resolve() in compiling.sources()
