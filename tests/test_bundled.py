"""The model that comes with the project: whole, small, and able to tell English from noise."""
import hashlib

from gpt2_assist.config import BUNDLED_MODEL, BUNDLED_MODELS
from gpt2_assist.model.store import find_model
from gpt2_assist.model.weights import load_model
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.pretraining.evaluate import bits_per_byte

ENGLISH = ("The rain had stopped by the time they reached the village, and the children ran out of the houses to see "
           "who had come. An old woman stood at the gate. She looked at the stranger for a long while before she "
           "spoke to him, and then she said that his father had died in the winter.")


def test_its_files_are_those_that_the_card_names():
    folder = find_model(BUNDLED_MODEL)
    assert folder.bundled and folder.path.parent == BUNDLED_MODELS
    assert folder.size_bytes < 25_000_000
    assert {name: hashlib.sha256((folder.path / name).read_bytes()).hexdigest()
            for name in folder.card.hashes} == folder.card.hashes
    assert set(folder.card.hashes) == {"config.json", "model.safetensors", "tokenizer.json"}


def test_it_knows_english_from_the_same_letters_in_disorder():
    import numpy as np
    path = find_model(BUNDLED_MODEL).path
    model, tokenizer = load_model(path), TextTokenizer.from_folder(path)

    def bits(text: str) -> float:
        ids = np.array([*tokenizer.encode(text), tokenizer.end_of_text])
        return bits_per_byte(model, [ids], [len(text.encode())])

    assert bits(ENGLISH) < 1.9
    words = ENGLISH.split()
    assert bits(" ".join(sorted(words))) > bits(ENGLISH) + 0.5
