"""What results/ holds was written as it would be written now."""

import json
import os

import pytest

import audio_triplet
from experiments.lib.sweep import text as sweep_text
from experiments.lib.table1 import text as table1_text
from experiments.lib.table2 import text as table2_text

RESULTS = os.path.join(os.path.dirname(os.path.dirname(audio_triplet.__file__)), "results")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("table1_best_folds_512", table1_text),
        ("table1_more", table1_text),
        ("table2", table2_text),
        ("sweep_architectures", sweep_text),
        ("sweep_paper_with", sweep_text),
    ],
)
def test_markdown_of_a_result_is_that_of_its_json(name, text):
    path = os.path.join(RESULTS, name)
    with open(f"{path}.json", encoding="utf-8") as file:
        table = json.load(file)
    with open(f"{path}.md", encoding="utf-8") as file:
        assert text.markdown(table) == file.read()


def test_results_of_earlier_versions_can_be_written_again():
    """Settings that are younger than a result are missing in its JSON."""
    with open(os.path.join(RESULTS, "table2_best.json"), encoding="utf-8") as file:
        assert "| Combined |" in table2_text.markdown(json.load(file))
