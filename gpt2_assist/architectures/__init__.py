"""Architectures: what a decoder is, as data, and how hubs and GGUF files write each down. Imports no array
library."""
from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from gpt2_assist.architectures.description import MATRICES, Decoder
from gpt2_assist.errors import ModelError

_FILES = [import_module(f"{__name__}.{file.name}") for file in iter_modules(__path__)]
_KNOWN = {module.MODEL_TYPE: module for module in _FILES if hasattr(module, "MODEL_TYPE")}


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


def roles_of(modules: Iterable[str]) -> tuple[str, ...]:
    """The roles of a layer's matrices that `modules` name: as roles, or as any architecture's hub files name them or
    end to name them ("qkv", "attn.c_attn", "q_proj"), in the order of use."""
    return tuple(role for role in MATRICES if any(
        module == role or any(f".{name}".endswith(f".{module}") for name in _MODULES[role]) for module in modules))


def _hub_modules(role: str) -> set[str]:
    """What the parts of a layer's matrix are called, over all architectures."""
    size = Decoder("", 1, 1, 1, 2, 2, 1, 1, 1, norm="rms", positions="rotary")
    return {part.name.split(".", 2)[2].removesuffix(".weight") for own in _KNOWN.values()
            for part in own.hub_parts(size)[f"layers.0.{role}.weight"]}


_MODULES = {role: _hub_modules(role) for role in MATRICES}
