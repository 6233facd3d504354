"""The config.json of a model's folder. Needs no torch."""
from pathlib import Path

from gpt2_assist.architectures import decoder_of
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.errors import ModelError
from gpt2_assist.files.text_file import read_json
from gpt2_assist.files.unreadable import not_json


def read_config(folder: Path) -> Decoder:
    """What config.json describes. Raises ModelError where it is missing, damaged or of an architecture that isn't
    known here."""
    path = Path(folder) / "config.json"
    try:
        entries = read_json(path)
    except FileNotFoundError:
        raise ModelError(f"The folder {folder} is no model: it has no config.json.") from None
    except (OSError, ValueError) as error:
        raise not_json(path, error) from None
    if not isinstance(entries, dict):
        raise ModelError(f"{path} is no JSON object; fetch the model again.")
    return decoder_of(entries)
