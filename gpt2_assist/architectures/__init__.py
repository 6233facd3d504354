"""Architectures: what a decoder is, as data, and how hubs and GGUF files write each down. Imports no array library but
numpy."""
from types import ModuleType

from gpt2_assist.architectures import gpt2, llama, qwen2, qwen3
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.errors import ModelError

_KNOWN = {module.MODEL_TYPE: module for module in (gpt2, llama, qwen2, qwen3)}


def architecture(name: str) -> ModuleType:
    """The file that knows an architecture: PREFIX, IGNORED, HEAD, from_hub, to_hub, hub_parts, from_gguf, to_gguf,
    gguf_parts. Raises ModelError where there is none."""
    if name not in _KNOWN:
        raise ModelError(f"This is a {name} model; known here are {', '.join(_KNOWN)}.")
    return _KNOWN[name]


def decoder_of(config: dict) -> Decoder:
    """From a hub's config.json. Raises ModelError where the model isn't known here, or a size is missing or none."""
    own = architecture(str(config.get("model_type", "gpt2")))
    try:
        return own.from_hub(config)
    except KeyError as error:
        raise ModelError(f"The model's config.json lacks {error.args[0]}.") from None
    except (TypeError, AttributeError):
        raise ModelError("The model's config.json holds a size that is no positive whole number.") from None
