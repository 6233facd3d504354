"""What is exported for llama.cpp: read back by the format's own package, and continued by llama.cpp itself."""
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from gpt2_assist import config
from gpt2_assist.client import Client
from gpt2_assist.errors import StorageError
from gpt2_assist.model.weights import load_weights
from gpt2_assist.protocol import Chunk, Generation
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.merging import export_gguf

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
LLAMA = os.environ.get("GPT2_ASSIST_LLAMA", "")
PROMPT = "The old man went down to the sea and"


@pytest.fixture(scope="module")
def mini(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "mini.gguf"
    export_gguf("mini", path)
    return path


def test_the_weights_and_the_vocabulary_are_the_models(mini):
    import gguf
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(mini).tensors}
    sizes, weights = load_weights(config.BUNDLED_MODELS / "mini")
    assert len(found) == len(weights)
    head = found["token_embd.weight"].data.reshape(sizes.vocab_size, sizes.n_embd)
    assert np.array_equal(head, weights["embedding.weight"].float().numpy())
    inner = found["blk.2.attn_qkv.weight"].data.reshape(3 * sizes.n_embd, sizes.n_embd)
    assert np.array_equal(inner, weights["layers.2.qkv.weight"].float().numpy().T)


def test_nothing_is_overwritten(mini):
    with pytest.raises(StorageError, match="there already"):
        export_gguf("mini", mini)


@pytest.mark.skipif(not LLAMA, reason="needs llama.cpp: set GPT2_ASSIST_LLAMA to a folder with llama-server")
def test_llama_cpp_writes_the_same_greedy_text(mini):
    from llama import LlamaServer
    ids = TextTokenizer.from_folder(config.BUNDLED_MODELS / "mini").encode(PROMPT)
    settings = Generation(max_new_tokens=32, temperature=0.0, heal=False, begins=False)
    ours = []
    with Client.connect("tests") as client:
        for message in client.generate("mini", PROMPT, settings, precision="fp32"):
            if isinstance(message, Chunk):
                ours += message.tokens
    with LlamaServer(Path(LLAMA), mini, 2) as server:
        theirs = server.complete(ids, 32)["tokens"]
    assert len(ours) == 32 and ours == theirs
