"""Samples from a model that is being trained: plain torch, a token at a time."""
import torch
import torch.nn.functional as F

from gpt2_assist.model.gpt2 import GPT2

_TEMPERATURE, _TOP_K = 0.8, 40


@torch.no_grad()
def write(model: GPT2, prompt: list[int], count: int, seed: int, end: int | None, kind: torch.dtype) -> list[int]:
    """Up to `count` new token ids behind the prompt, which may not be empty; `end` ends them."""
    generator = torch.Generator().manual_seed(seed)
    ids = list(prompt)
    device = model.wte.weight.device
    for _ in range(count):
        window = torch.tensor([ids[-model.config.n_ctx:]], device=device)
        with torch.autocast(device.type, dtype=kind, enabled=kind != torch.float32):
            hidden = model.hidden(window)[0, -1:]
        with torch.autocast(device.type, enabled=False):
            logits = F.linear(hidden.to(model.wte.weight.dtype), model.wte.weight)[0].float().cpu()
        best, places = torch.topk(logits / _TEMPERATURE, min(_TOP_K, len(logits)))
        token = int(places[torch.multinomial(F.softmax(best, dim=0), 1, generator=generator)])
        if token == end:
            break
        ids.append(token)
    return ids[len(prompt):]
