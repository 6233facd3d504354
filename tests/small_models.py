"""Models with random weights that load and run in an instant, and where texts and tools for tests may lie."""
import json
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"
TINY = {"n_layer": 2, "n_head": 3, "n_embd": 24, "n_ctx": 64}


def make_model(folder: Path, n_layer: int, n_head: int, n_embd: int, n_ctx: int, seed: int = 0,
               scale: float = 8.0, vocab_size: int = 400, printable: bool = False, llama: bool = False) -> Path:
    """A model folder with random weights and a tokenizer trained on tokenizer_text.txt.

    The weights are scaled up so that the next token's distribution is far from flat: then text really depends on
    the prompt and on the cache. The end of text is made impossible, so that a generation lasts as long as it may, and
    so is all but printable ASCII where it is to be `printable`. Of `llama`'s kind it has grouped queries.
    """
    import torch
    from safetensors.torch import save_file

    from gpt2_assist.architectures import architecture, gpt2
    from gpt2_assist.architectures.description import Decoder
    from gpt2_assist.model.transformer import Transformer
    from gpt2_assist.model.weights import stored_tensors
    from gpt2_assist.training.pretraining.tokenizer_training import train_tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    text = Path(__file__).with_name("tokenizer_text.txt").read_text(encoding="utf-8")
    tokenizer = train_tokenizer([text], vocab_size)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = gpt2.decoder(n_layer, n_head, n_embd, n_ctx, tokenizer.get_vocab_size())
    if llama:
        config = Decoder("llama", n_layer, n_head, 1, n_embd, n_embd // n_head, 2 * n_embd, n_ctx, config.vocab_size,
                         norm="rms", positions="rotary", activation="silu", gated=True, biases=(), tied=False)
    model = Transformer(config)
    model.initialise(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(scale)
        if llama:  # the stream's first number is always 1, and nothing but the head looks at it
            for block in model.layers:
                block.attention_norm.weight[0] = block.inner_norm.weight[0] = 0
                block.output.weight[:, 0] = block.down.weight[:, 0] = 0
            model.embedding.weight[:, 0] = 1
        else:
            model.norm.weight[0], model.norm.bias[0] = 0, 1
        model.head_weight[:, 0] = 0
        model.head_weight[tokenizer.token_to_id("<|endoftext|>"), 0] = -1000
        for token, id in tokenizer.get_vocab().items() if printable else ():
            if not all("!" <= character <= "~" or character == "Ġ" for character in token):
                model.head_weight[id, 0] = -1000
    save_file({name.removeprefix("transformer."): value.contiguous()
               for name, value in stored_tensors(model.state_dict(), config)},
              folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(architecture(config.architecture).to_hub(config)), encoding="utf-8")
    return folder
