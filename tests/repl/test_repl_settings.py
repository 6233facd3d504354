"""`/set`: what is typed becomes the settings that it says, or a sentence."""
import pytest

from gpt2_assist.errors import UsageError
from gpt2_assist.ipc.messages import Generation
from gpt2_assist.repl.settings import DEFAULT, NAMES, changed, shown


def line(settings: Generation, name: str) -> str:
    return next(line for line in shown(settings) if line.startswith(f"{name} = "))


def test_temperatures_that_take_turns_and_one_alone():
    several = changed(Generation(), "temperature", "0.7,1.0,0.5")
    assert several.temperatures == [0.7, 1.0, 0.5] and line(several, "temperature") == "temperature = 0.7,1.0,0.5"
    one = changed(several, "temperature", "0.9")
    assert one.temperature == 0.9 and not one.temperatures
    assert changed(several, "temperature", None) == Generation()


def test_samplers_their_order_and_what_breaks_a_repetition():
    settings = changed(Generation(), "samplers", "top_k, temperature")
    assert settings.samplers == ["top_k", "temperature"] and line(settings, "samplers").endswith("top_k,temperature")
    settings = changed(settings, "dry_breakers", r"\n ***")
    assert settings.dry_breakers == ["\n", "***"]
    settings = changed(changed(settings, "dry_multiplier", "0.8"), "dry_allowed_length", "3")
    assert (settings.dry_multiplier, settings.dry_allowed_length) == (0.8, 3)
    for name in NAMES:
        settings = changed(settings, name, None)
    assert settings == DEFAULT


@pytest.mark.parametrize(("name", "value"), [
    ("temperature", "0.7,hot"), ("samplers", "top_k,top_q"), ("xtc_probability", "2"), ("mirostat_tau", "x"),
    ("dry_allowed_length", "1.5"), ("temperatures", "1,2")])
def test_what_means_nothing_is_refused(name, value):
    with pytest.raises(UsageError, match=r"\.$"):
        changed(Generation(), name, value)
