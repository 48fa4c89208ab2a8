import json

import pytest

from audio_triplet.config import RunConfig, TrainingConfig
from audio_triplet.errors import ConfigError, UsageError
from audio_triplet.web import runs_page

COLUMNS = (
    "step,loss,positive_distance,negative_distance,active,embedding_variance,valid,learning_rate,"
    "patches_per_second,input_wait"
)


@pytest.fixture
def runs(tmp_path) -> list[str]:
    """Two runs that differ in learning rate, and their scores."""
    found = []
    for name, rate, score in (("slow", 1e-4, 0.25), ("fast<b>", 3e-4, 0.75)):
        folder = tmp_path / name
        folder.mkdir()
        config = RunConfig(corpus="folders:x", training=TrainingConfig(learning_rate=rate))
        config.write(str(folder))
        rows = [f"{step},{0.1 / (step + 1)},1,1,0.5,0.3,1,{rate},100,0" for step in range(5)]
        (folder / "metrics.csv").write_text("\n".join([COLUMNS, *rows, ""]))
        scores = tmp_path / f"{name}-scores"
        scores.mkdir()
        (scores / "metrics.json").write_text(
            json.dumps(
                {
                    "qbe_map": score,
                    "query_map": score,
                    "cls_map": score,
                    "accuracy": None,
                    "corpus": "esc50:x",
                    "cls_per_class": {"dog": score, "cat": 0.5, "owl": None},
                }
            )
        )
        found.append(f"{folder}={scores}")
    return found


def test_page_shows_what_differs(runs, tmp_path):
    loaded = runs_page.load_runs(runs)
    assert [run.name for run in loaded] == ["slow", "fast<b>"]
    assert len(loaded[0].metrics) == 5
    runs_page.write_page(str(tmp_path / "compare.html"), loaded)
    page = (tmp_path / "compare.html").read_text()
    assert "<b>" not in page.split("settings-h")[0].split('id="curves"')[1].split("</svg>")[0]
    assert "fast&lt;b&gt; from 0.100 to 0.020" in page  # the loss, as it was logged
    settings = page.split('id="settings-h"')[1]
    assert "training.learning rate" in settings and "0.0003" in settings
    assert settings.count('role="rowheader"') == 1  # nothing else differs
    assert "1 of 2 classes" in page and "+0.50" in page and "1 without a figure" in page


def test_runs_of_one_name_are_told_apart_by_their_folder(runs, tmp_path):
    first, second = runs[0].partition("=")[0], tmp_path / "other" / "slow"
    second.mkdir(parents=True)
    RunConfig().write(str(second))
    loaded = runs_page.load_runs([first, str(second)])
    assert [run.name for run in loaded] == [first, str(second)]
    assert loaded[1].metrics == [] and not loaded[1].scores
    runs_page.write_page(str(tmp_path / "page.html"), loaded)
    assert "scores-h" not in (tmp_path / "page.html").read_text()


def test_what_is_no_run_is_said(runs, tmp_path):
    with pytest.raises(ConfigError, match=r"config\.json: missing"):
        runs_page.load_runs([str(tmp_path)])
    folder = runs[0].partition("=")[0]
    with pytest.raises(UsageError, match=r"score the run by experiments\.evaluate"):
        runs_page.load_runs([f"{folder}={tmp_path}"])
