"""What the fused kernels do, in plain torch, row by row: their yardstick, and the engine where there is no card.

Products take sixteen rows at a time, always, so that on the CPU too a row's bits don't depend on its neighbours.
"""
import numpy as np
import torch
import torch.nn.functional as F

from gpt2_assist.engine.cuda import rows as fields
from gpt2_assist.engine.cuda import shapes
from gpt2_assist.engine.cuda.pool import DevicePages
from gpt2_assist.engine.cuda.shapes import CACHE, HEADS, INNER, INPUTS, MIXED, NORM, PARTS, WIDE_INPUTS
from gpt2_assist.engine.cuda.step import Residual, Scores, StepRows
from gpt2_assist.engine.cuda.weights import A_LAYER, AdapterTable, CardMatrix, Norm, Weights
from gpt2_assist.engine.engine import Sampling
from gpt2_assist.engine.pages import BLOCK
from gpt2_assist.engine.sampling import drawn, reported
from gpt2_assist.model.transformer import ACTIVATIONS, rotated

_GRID, _SQUARES_GRID = 1.5 * 2 ** 26, 1.5 * 2 ** 28


class PlainKernels:
    """See step.Kernels."""

    def __init__(self, weights: Weights, adapters: AdapterTable, pool: DevicePages) -> None:
        self._weights, self._adapters, self._pool = weights, adapters, pool.data
        self._config, self._kind = weights.config, weights.kind

    def embed(self, rows: StepRows, x: torch.Tensor) -> None:
        there, table = _there(rows), rows.fields[:rows.count]
        tokens = table[there, fields.TOKEN].long()
        value = self._weights.tokens.weight[tokens].float()
        if self._weights.tokens.scales is not None:
            value *= self._weights.tokens.scales[tokens, None]
        if self._weights.places is not None:
            value = value + self._weights.places[table[there, fields.POSITION].long()]
        x[:rows.count][there] = value

    def measure(self, rows: StepRows, stream: Residual, settled: torch.Tensor | None) -> None:
        there, value = _there(rows), _settle(rows, stream)
        rows.figures[:rows.count][there] = torch.stack(self._figures(value), 1)[there]
        if settled is not None:
            settled[:rows.count][there] = value[there]

    def keep(self, rows: StepRows, layer: int) -> None:
        config, norms = self._config, self._weights.layers[layer].head_norms
        heads = rows.heads[:rows.count].unflatten(1, (-1, config.head_width))
        *parts, values = heads.split((config.n_head, config.n_kv_head, config.n_kv_head), 1)
        if norms is not None:
            parts = [part / torch.sqrt((part * part).mean(-1, keepdim=True) + config.epsilon) * norm
                     for part, norm in zip(parts, norms)]
        if self._weights.turns is not None:
            turns = self._weights.turns[rows.fields[:rows.count, fields.POSITION].long()]
            parts = [rotated(part.transpose(0, 1), turns).transpose(0, 1) for part in parts]
        self._keep(rows, torch.cat([*parts, values], 1).flatten(1), layer)

    def attend(self, rows: StepRows, layer: int) -> None:
        heads, width = self._config.n_head, self._config.head_width
        kept, scale = self._config.n_kv_head, 1 / self._config.divisor(layer)
        for row in torch.nonzero(_there(rows)).flatten().tolist():
            position = int(rows.fields[row, fields.POSITION])
            splits = position // shapes.KEYS + 1
            places = torch.arange(splits * shapes.KEYS, device=rows.fields.device)
            known = places <= position
            pages = rows.pages[row if rows.together == 1 else 0].long()
            pages = pages[(places // BLOCK).clamp_max(len(pages) - 1)]
            held = torch.where(known[:, None, None, None], self._pool[pages, layer, :, :, places % BLOCK], 0).float()
            keys, values = held.view(splits, shapes.KEYS, 2, kept, width).permute(2, 0, 3, 1, 4)
            if kept != heads:
                keys, values = (part.repeat_interleave(heads // kept, 1) for part in (keys, values))
            query = rows.queries[row].float().view(heads, width, 1)
            scores = (keys @ query)[..., 0] * scale
            scores.masked_fill_(~known.view(splits, 1, shapes.KEYS), float("-inf"))
            top = scores.amax(-1)
            weights = torch.exp(scores - top[..., None])
            mixed = weights.to(self._kind).float()[:, :, None] @ values
            rows.mixed[row, :splits] = mixed.reshape(splits, -1)
            rows.extremes[row, :splits] = torch.stack([top, weights.sum(-1)], -1)

    def combine(self, rows: StepRows) -> None:
        there = _there(rows)
        rows.queries[:rows.count][there] = self._combined(rows)[there].to(self._kind)

    def product(self, rows: StepRows, source: Residual | torch.Tensor, left: int, result: int, matrix: CardMatrix,
                out: torch.Tensor, module: int, parts: int = 1, norm: Norm | None = None,
                settled: torch.Tensor | None = None) -> None:
        there = _there(rows)
        if left == NORM:
            assert isinstance(source, Residual) and norm is not None
            stream = _settle(rows, source)
            mean, deviation = rows.figures[:rows.count].unbind(1) if source.measured else self._figures(stream)
            x = self._normed(stream, mean, deviation, norm)
            if settled is not None:
                settled[:rows.count][there] = stream[there]
        elif left == MIXED:
            x = self._combined(rows)
        else:
            assert isinstance(source, torch.Tensor)
            x = source[:rows.count]
        x = x.to(self._kind).float()
        block = WIDE_INPUTS if left == MIXED or source is rows.queries else INPUTS
        sums = self._sums(rows, x, matrix, module, parts, block)
        if result == PARTS:
            for part, one in enumerate(sums):
                out[part, :rows.count][there] = one[there]
            return
        total = sum(sums, torch.zeros(()))
        if matrix.bias is not None:
            total = total + matrix.bias
        if result == CACHE:
            self._keep(rows, total, module // A_LAYER)
        elif result == HEADS:
            out[:rows.count][there] = total[there]
        elif result == INNER:
            out[:rows.count][there] = self._activated(total)[there].to(self._kind)
        else:
            out[:rows.count][there] += total[there]

    def head(self, rows: StepRows, x: torch.Tensor, norm: Norm, scores: Scores) -> None:
        there, table = _there(rows), rows.fields[:rows.count]
        x = self._normed(x[:rows.count], *rows.figures[:rows.count].unbind(1), norm).to(self._kind).float()
        logits = self._sums(rows, x, self._weights.head, None, 1, INPUTS)[0]
        penalty = table[:, fields.PENALTY].contiguous().view(torch.float32)[:, None]
        counted = (scores.seen[:rows.count] != 0) & (table[:, fields.FLAGS] & fields.PENALISED != 0)[:, None]
        own = torch.where(counted, torch.where(logits > 0, logits / penalty, logits * penalty), logits)
        own += torch.where((table[:, fields.FLAGS] & fields.BIASED != 0)[:, None], scores.biases[:rows.count], 0)
        temperature = table[:, fields.FILTERING].contiguous().view(torch.float32)
        scores.logits[:rows.count][there], scores.scores[:rows.count][there] = logits[there], own[there]
        for place, (values, scale) in enumerate(((own, temperature), (logits, torch.ones_like(temperature)))):
            padding = -values.shape[1] % shapes.SCORES
            blocks = F.pad(values, (0, padding), value=float("-inf")).view(rows.count, -1, shapes.SCORES)
            top = blocks.amax(-1)
            least = torch.where(top == float("-inf"), 0, top)[..., None]
            weights = torch.exp((blocks - least) / torch.where(scale == 0, 1, scale)[:, None, None])
            scores.figures[2 * place, :rows.count][there] = top[there]
            scores.figures[2 * place + 1, :rows.count][there] = weights.sum(-1)[there]

    def choose(self, rows: StepRows, scores: Scores) -> None:
        for row in torch.nonzero(_there(rows)).flatten().tolist():
            table = rows.fields[row].cpu().numpy()
            temperature, top_p, min_p, _ = table[fields.TEMPERATURE:fields.PENALTY + 1].view(np.float32).tolist()
            seed = int(table[fields.SEED_LOW:fields.SEED_HIGH + 1].view(np.uint64)[0])
            filtering = table[fields.FILTERING:fields.FILTERING + 1].view(np.float32)[0]
            order = ("top_k", "top_p", "min_p", "temperature") if filtering == 1 else (
                "top_k", "temperature", "top_p", "min_p")
            sampling = Sampling(temperature, int(table[fields.TOP_K]), top_p, min_p, seed=seed, samplers=order)
            step, best = int(table[fields.STEP]), int(table[fields.BEST])
            chosen = drawn(scores.scores[row].cpu().numpy(), sampling, int(table[fields.INDEX]),
                           int(table[fields.NUMBER]))
            if best:
                token = reported(chosen, scores.logits[row].cpu().numpy(), best - 1)
                scores.chances[step, row, :best] = torch.tensor(
                    [token.logprob, *(value for _, value in token.best)], dtype=torch.float64)
                scores.best[step, row, :best - 1] = torch.tensor([id for id, _ in token.best], dtype=torch.int32)
            scores.tokens[step, row] = rows.fields[row, fields.TOKEN] = chosen
            for place in (fields.POSITION, fields.NUMBER, fields.STEP):
                rows.fields[row, place] += 1
            if table[fields.FLAGS] & fields.PENALISED:
                scores.seen[row, chosen] = 1

    def _activated(self, x: torch.Tensor) -> torch.Tensor:
        """Inner rows of what `up` gives."""
        if not self._config.gated:
            return self._activation(x)
        gates, through = x.unflatten(1, (-1, 2)).unbind(2)
        return self._activation(gates) * through

    def _activation(self, x: torch.Tensor) -> torch.Tensor:
        if self._config.activation == "gelu_tanh":  # as the kernels compute it
            return x / (1 + torch.exp(-1.5957691216057308 * (x + 0.044715 * x * x * x)))
        return ACTIVATIONS[self._config.activation](x)

    def _figures(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(mean, reciprocal deviation) of rows, of sums that are exact in any order. An RMS norm's mean is 0."""
        value = (x.double() + _GRID) - _GRID
        square = (value * value + _SQUARES_GRID) - _SQUARES_GRID
        mean = value.sum(1) / x.shape[1] if self._config.norm == "layer" else value.new_zeros(len(x))
        variance = square.sum(1) / x.shape[1] - mean * mean
        return mean.float(), (1 / torch.sqrt(variance + self._config.epsilon)).float()

    def _normed(self, x: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor, norm: Norm) -> torch.Tensor:
        normed = (x - mean[:, None]) * deviation[:, None] * norm[0]
        return normed if norm[1] is None else normed + norm[1]

    def _combined(self, rows: StepRows) -> torch.Tensor:
        """Attention's output [R, A] from its parts, one after the other."""
        width = self._config.head_width
        out = torch.zeros(rows.count, self._config.attention_width, device=rows.mixed.device)
        for row in torch.nonzero(_there(rows)).flatten().tolist():
            splits = int(rows.fields[row, fields.POSITION]) // shapes.KEYS + 1
            tops, sums = rows.extremes[row, :splits].unbind(-1)
            weights = torch.exp(tops - tops.amax(0))
            total, value = torch.zeros_like(out[0]), torch.zeros_like(out[0])
            for split in range(splits):
                total += (weights[split] * sums[split]).repeat_interleave(width)
                value += weights[split].repeat_interleave(width) * rows.mixed[row, split]
            out[row] = value / total
        return out

    def _sums(self, rows: StepRows, x: torch.Tensor, matrix: CardMatrix, module: int | None, parts: int, block: int
              ) -> list[torch.Tensor]:
        """Parts [R, out] of the product of x [R, in] with a matrix, and with adapters beside it."""
        inputs = x.shape[1]
        blocks = -(-inputs // block)
        cuts = [min(inputs, part * blocks // parts * block) for part in range(parts + 1)]
        which, sums = rows.fields[:rows.count, fields.ADAPTER], []
        for first, last in zip(cuts, cuts[1:]):
            one = _times(x[:, first:last], matrix.weight[:, first:last])
            if matrix.scales is not None:
                one *= matrix.scales
            for adapter in set(which.tolist()) - {0}:
                pair = self._adapters.pairs.get(adapter, {}).get(module)
                if pair is not None:
                    few = _times(x[which == adapter, first:last], pair[0][:, first:last]).to(self._kind).float()
                    one[which == adapter] += _times(few, pair[1])
            sums.append(one)
        return sums

    def _keep(self, rows: StepRows, values: torch.Tensor, layer: int) -> None:
        """values [R, A and twice the width of keys]: queries for `attend`, keys and values into the rows' pages."""
        there, config = _there(rows), self._config
        which = torch.nonzero(there).flatten()
        widths = config.attention_width, config.kv_width, config.kv_width
        queries, *rest = values[there].to(self._kind).split(widths, 1)
        rows.queries[:rows.count][there] = queries
        places = rows.fields[which, fields.POSITION].long()
        pages = rows.pages[which if rows.together == 1 else torch.zeros_like(which), places // BLOCK].long()
        for kind, value in enumerate(rest):
            self._pool[pages, layer, kind, :, places % BLOCK] = value.view(len(which), config.n_kv_head, -1)


def _there(rows: StepRows) -> torch.Tensor:
    return rows.fields[:rows.count, fields.POSITION] >= 0


def _settle(rows: StepRows, stream: Residual) -> torch.Tensor:
    if not stream.count or stream.parts is None:
        return stream.x[:rows.count]
    total = stream.parts[0, :rows.count]
    for part in range(1, stream.count):
        total = total + stream.parts[part, :rows.count]
    return stream.x[:rows.count] + (total if stream.bias is None else total + stream.bias)


def _times(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x [R, in] @ weight.T, sixteen rows at a time."""
    padded, weight = F.pad(x, (0, 0, 0, -len(x) % shapes.ROW_TILE)), weight.float()
    if len(padded) == shapes.ROW_TILE:
        return F.linear(padded, weight)[:len(x)]
    return torch.cat([F.linear(part, weight) for part in padded.split(shapes.ROW_TILE)])[:len(x)]
