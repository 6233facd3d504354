"""Small models of every family, with a tokenizer, as folders that can be trained."""
import shutil
from pathlib import Path

import torch
import transformers

SIZES = {"vocab_size": 400}
LLAMA = {**SIZES, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 24,
         "intermediate_size": 40, "max_position_embeddings": 64, "tie_word_embeddings": True}
GPT2 = {**SIZES, "n_layer": 2, "n_head": 3, "n_embd": 24, "n_positions": 64}
FAMILIES = {
    "Llama": ("llama", LLAMA),
    "Llama with a head of its own": ("llama", {**LLAMA, "tie_word_embeddings": False, "head_dim": 10}),
    "Qwen2": ("qwen2", {**LLAMA, "num_key_value_heads": 1}),
    "Qwen3": ("qwen3", {**LLAMA, "head_dim": 8}),
    "a relative of GPT-2": ("gpt2", {**GPT2, "activation_function": "gelu", "n_inner": 50, "tie_word_embeddings": False,
                                     "scale_attn_by_inverse_layer_idx": True}),
}


def made(name: str, tokenizer: Path, folder: Path) -> "transformers.PreTrainedModel":
    """A model of transformers with random weights, as it writes it, and the tokenizer of another folder."""
    kind, sizes = FAMILIES[name]
    config = transformers.AutoConfig.for_model(kind, **sizes, attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0)
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    model.save_pretrained(folder)
    shutil.copyfile(tokenizer / "tokenizer.json", folder / "tokenizer.json")
    return model
