"""Rounding with feedback: what it says it means, and less lost on the text that it is fitted to and on others."""
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.model.bfloat16 import from_bf16
from gpt2_assist.model.feedback import rounded_int4, rounded_int4_min
from gpt2_assist.model.packing import pack, pack_int4, pack_int4_min, unpack
from gpt2_assist.model.prepared import open_prepared, prepare


@settings(deadline=None)
@given(st.integers(1, 100), st.integers(1, 40), st.integers(1, 20), st.sampled_from([1e-20, 1e-3, 1.0, 1e4]),
       st.integers(0, 1 << 30))
def test_numbers_and_scales_are_what_the_packed_matrix_means(inputs, outputs, positions, size, seed):
    dice = np.random.default_rng(seed)
    weight = (size * dice.standard_normal((inputs, outputs))).astype(np.float32)
    numbers, bits = rounded_int4(weight, dice.standard_normal((positions, inputs)).astype(np.float32))
    assert numbers.min() >= -8 and numbers.max() <= 7
    meant = numbers.astype(np.float32) * np.repeat(from_bf16(bits), 32, axis=0)
    assert np.array_equal(unpack(pack_int4(numbers, bits), "int4", inputs, outputs), meant[:inputs])


def test_the_product_loses_less_than_by_plain_rounding_also_on_inputs_it_has_not_seen():
    dice = np.random.default_rng(3)
    weight = dice.standard_normal((1100, 96)).astype(np.float32)
    mixing = dice.standard_normal((60, 1100))  # inputs that go together, as a network's do
    seen, unseen = ((dice.standard_normal((300, 60)) @ mixing + dice.standard_normal((300, 1100))).astype(np.float32)
                    for _ in range(2))
    fitted = unpack(pack_int4(*rounded_int4(weight, seen)), "int4", *weight.shape)
    plain = unpack(pack(weight, "int4"), "int4", *weight.shape)
    for inputs in (seen, unseen):
        lost, lost_plainly = (np.square(inputs @ (other - weight)).mean() for other in (fitted, plain))
        assert lost < 0.5 * lost_plainly


@settings(deadline=None)
@given(st.integers(1, 100), st.integers(1, 40), st.integers(1, 20), st.integers(0, 1 << 30))
def test_numbers_scales_and_minima_are_what_the_packed_matrix_means(inputs, outputs, positions, seed):
    dice = np.random.default_rng(seed)
    weight = dice.standard_normal((inputs, outputs)).astype(np.float32) + np.float32(0.5)
    numbers, scales, minima = rounded_int4_min(weight, dice.standard_normal((positions, inputs)).astype(np.float32))
    assert numbers.min() >= 0 and numbers.max() <= 15
    meant = numbers * np.repeat(from_bf16(scales), 32, axis=0) + np.repeat(from_bf16(minima), 32, axis=0)
    assert np.array_equal(unpack(pack_int4_min(numbers, scales, minima), "int4_min", inputs, outputs), meant[:inputs])


def test_weights_that_lie_on_a_grid_keep_their_places_and_others_are_rounded_with_feedback():
    dice = np.random.default_rng(3)
    numbers = dice.integers(16, size=(128, 40))
    numbers[::32], numbers[1::32] = 0, 15
    weight = (numbers * 0.01 - 0.08).astype(np.float32)
    seen = (dice.standard_normal((300, 20)) @ dice.standard_normal((20, 128))).astype(np.float32)
    assert np.array_equal(rounded_int4_min(weight, seen)[0], numbers)
    weight = dice.standard_normal((128, 40)).astype(np.float32)
    fitted = unpack(pack_int4_min(*rounded_int4_min(weight, seen)), "int4_min", *weight.shape)
    plain = unpack(pack(weight, "int4_min"), "int4_min", *weight.shape)
    lost, lost_plainly = (np.square(seen @ (other - weight)).mean() for other in (fitted, plain))
    assert lost < 0.5 * lost_plainly


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_inputs_that_are_all_the_same_do_no_harm(value):
    weight = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
    numbers, bits = rounded_int4(weight, np.full((10, 64), value, np.float32))
    meant = numbers.astype(np.float32) * np.repeat(from_bf16(bits), 32, axis=0)
    assert np.abs(meant - weight).max() < 1


def test_a_file_that_was_not_fitted_is_made_again_for_a_sample_and_a_fitted_one_serves_all(tiny_model, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((Path(tiny_model) / name).read_bytes())
    assert json.loads((folder / "config.json").read_text())["n_ctx"] >= 20

    def made(sample) -> tuple[str, int]:
        path = prepare(folder, "int4", sample=sample)
        return open_prepared(path).figures["fitted"], path.stat().st_mtime_ns

    plain, fitted = made([]), made(range(20))
    assert plain[0] == "" != fitted[0] and plain[1] != fitted[1]
    assert made([]) == made(range(20)) == fitted != made(range(1, 21))
