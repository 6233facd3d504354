"""The sizes of a GPT-2: what config.json states, and the names and shapes of parameters that follow. Needs no torch."""
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from gpt2_assist.errors import ModelError
from gpt2_assist.text_file import read_json
from gpt2_assist.unreadable import not_json


@dataclass(frozen=True)
class GPT2Config:
    """The sizes of a model."""

    n_layer: int
    n_head: int
    n_embd: int
    n_ctx: int
    vocab_size: int
    layer_norm_epsilon: float = 1e-5

    def __post_init__(self) -> None:
        sizes = (self.n_layer, self.n_head, self.n_embd, self.n_ctx, self.vocab_size)
        if any(not isinstance(size, int) or size < 1 for size in sizes):
            raise ModelError("The model's configuration holds a size that is no positive whole number.")
        if not isinstance(self.layer_norm_epsilon, (int, float)) or not 0 < self.layer_norm_epsilon < 1:
            raise ModelError("The model's configuration holds a layer norm epsilon that is none.")
        if self.n_embd % self.n_head:
            raise ModelError(f"The model's width {self.n_embd} can't be divided among {self.n_head} heads.")

    @classmethod
    def from_hub(cls, config: dict) -> "GPT2Config":
        """From a hub's config.json. Raises ModelError where it describes something other than a GPT-2."""
        if config.get("model_type", "gpt2") != "gpt2":
            raise ModelError(f"This is a {config['model_type']} model; only GPT-2's architecture is known here.")
        activation = config.get("activation_function", "gelu_new")
        if activation not in ("gelu_new", "gelu_pytorch_tanh"):
            raise ModelError(f"The model wants the activation {activation}; GPT-2's is gelu_new.")
        if config.get("scale_attn_by_inverse_layer_idx") or not config.get("scale_attn_weights", True):
            raise ModelError("The model scales its attention in a way that GPT-2 does not.")
        inner = config.get("n_inner")
        if inner not in (None, 4 * config.get("n_embd", 0)):
            raise ModelError(f"The model's inner width {inner} is not four times its width.")
        try:
            return cls(config["n_layer"], config["n_head"], config["n_embd"],
                       config.get("n_positions", config.get("n_ctx")), config["vocab_size"],
                       config.get("layer_norm_epsilon", 1e-5))
        except KeyError as error:
            raise ModelError(f"The model's config.json lacks {error.args[0]}.") from None

    def to_hub(self) -> dict:
        """The config.json with which other programs read the model too."""
        sizes = asdict(self)
        return {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new",
                "n_positions": self.n_ctx, "tie_word_embeddings": True, **sizes}


def read_config(folder: Path) -> GPT2Config:
    """The sizes that config.json states. Raises ModelError where it is missing, damaged or no GPT-2's."""
    path = Path(folder) / "config.json"
    try:
        entries = read_json(path)
    except FileNotFoundError:
        raise ModelError(f"The folder {folder} is no model: it has no config.json.") from None
    except (OSError, ValueError) as error:
        raise not_json(path, error) from None
    if not isinstance(entries, dict):
        raise ModelError(f"{path} is no JSON object; fetch the model again.")
    return GPT2Config.from_hub(entries)


def expected_shapes(config: GPT2Config) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter, by name, in the model's order. Matrices are [inputs, outputs], as Conv1D's."""
    width = config.n_embd
    shapes: dict[str, tuple[int, ...]] = {"wte.weight": (config.vocab_size, width),
                                          "wpe.weight": (config.n_ctx, width)}
    for layer in range(config.n_layer):
        for norm, matrices in (("ln_1", {"attn.c_attn": (width, 3 * width), "attn.c_proj": (width, width)}),
                               ("ln_2", {"mlp.c_fc": (width, 4 * width), "mlp.c_proj": (4 * width, width)})):
            shapes |= {f"h.{layer}.{norm}.weight": (width,), f"h.{layer}.{norm}.bias": (width,)}
            for name, (inputs, outputs) in matrices.items():
                shapes |= {f"h.{layer}.{name}.weight": (inputs, outputs), f"h.{layer}.{name}.bias": (outputs,)}
    return shapes | {"ln_f.weight": (width,), "ln_f.bias": (width,)}


def parameter_count(config: GPT2Config) -> int:
    """Numbers that the model has learned, all together."""
    return sum(math.prod(shape) for shape in expected_shapes(config).values())
