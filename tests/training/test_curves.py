"""The picture of losses in a line."""
import math

import pytest

from gpt2_assist.training.finetuning.curves import sparkline


@pytest.mark.parametrize("values, bars", [
    ([], ""), ([3.0], "▁"), ([3.0, 3.0], "▁▁"), ([4.0, 3.0, 2.0], "█▅▁"), ([math.nan], "×"),
    ([4.0, math.nan, 2.0, math.inf, 3.0], "█×▁×▅"), ([float(n) for n in range(30)], "▁▁▂▂▂▃▃▄▄▄▅▅▅▆▆▇▇▇██")])
def test_it_shows_the_last_values_whatever_they_are(values, bars):
    assert sparkline(values) == bars
