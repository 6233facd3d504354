"""A private writing and coding companion that runs GPT-2-family models on the user's own machine."""

__version__ = "0.2.0"

__all__ = ["download_gpt2", "finetune", "generate", "generate_to_file", "how_original"]  # noqa: F822 see __getattr__


def __getattr__(name: str):
    """The calls of api.py, which is imported when the first of them is wanted: clients start at once."""
    if name in __all__:
        from gpt2_assist import api
        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
