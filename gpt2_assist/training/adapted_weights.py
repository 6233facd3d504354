"""A model's weights with an adapter in them."""
import torch

from gpt2_assist.model.adapter import Adapter


def merged(weights: dict[str, torch.Tensor], adapter: Adapter, strength: float = 1.0,
           kind: torch.dtype | None = None) -> dict[str, torch.Tensor]:
    """The base's weights (by the decoder's names) with the adapter added, `strength` 0 being the base itself; others
    are left as they are. All become `kind`, one after the other, or stay of the kind that they are."""
    result = {}
    for name, weight in weights.items():
        wanted, pair = kind or weight.dtype, adapter.pairs.get(name.removesuffix(".weight"))
        if pair:
            down, up = map(torch.tensor, pair)
            weight = torch.addmm(weight.float(), down.t(), up.t(), alpha=strength * adapter.shape.scale)
        result[name] = weight.to(wanted)
    return with_rows(result, {id: torch.tensor(row) for id, row in adapter.rows.items()})


def with_rows(weights: dict[str, torch.Tensor], rows: dict[int, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights with these rows in the embedding, by token; for tokens that are new embedding and head grow, and what
    the head lacks then is its mean: nobody ever learned to write them."""
    if not rows:
        return weights
    more, changed = max(0, max(rows) + 1 - len(weights["embedding.weight"])), {}
    for name in ("embedding.weight", "head.weight"):
        if name in weights:
            table = weights[name]
            mean = table.float().mean(0, keepdim=True).to(table.dtype)
            changed[name] = torch.cat([table, mean.expand(more, -1)])
    for id, row in rows.items():
        changed["embedding.weight"][id] = row.to(changed["embedding.weight"].dtype)
    return {**weights, **changed}
