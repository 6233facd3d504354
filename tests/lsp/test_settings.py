"""What an editor may set, and what it is told about nonsense."""
import pytest
from gpt2_lsp.settings import EditorSettings, changed


def test_the_editors_names_set_ours():
    settings, complaints = changed(EditorSettings(), {
        "enabled": False, "model": "gpt2", "disabledLanguages": ["c"], "singleLine": True, "maxLines": 3.0,
        "confidence": 0, "exclude": ["*.md"], "proseUnit": "paragraph", "somebodyElses": 1, "maxTokens": None})
    assert not complaints
    assert settings == EditorSettings(enabled=False, model="gpt2", disabled_languages=("c",), single_line=True,
                                      max_lines=3, confidence=0, exclude=("*.md",), prose_unit="paragraph")


@pytest.mark.parametrize("name, value", [
    ("enabled", 1), ("model", 3), ("disabledLanguages", "c"), ("exclude", [1]), ("maxLines", 0), ("maxTokens", 2.5),
    ("confidence", "high"), ("confidence", 2), ("proseUnit", "book"), ("idleMs", True)])
def test_nonsense_keeps_the_old_value_and_gets_a_sentence(name, value):
    settings, complaints = changed(EditorSettings(), {name: value, "alternatives": 2})
    assert settings == EditorSettings(alternatives=2)
    assert len(complaints) == 1 and name in complaints[0] and complaints[0].endswith(".")


@pytest.mark.parametrize("wanted", [None, [], "x", 3, {3: 4}])
def test_what_is_no_map_changes_nothing(wanted):
    assert changed(EditorSettings(), wanted) == (EditorSettings(), [])
