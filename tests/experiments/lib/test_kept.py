from experiments.lib.kept import KeptScores


def test_a_score_of_other_settings_is_not_used(tmp_path):
    path = str(tmp_path / "row" / "labels1-draw0.json")
    asked = KeptScores(path, {"scratch": {"steps": 5}, "test_splits": ("a",)})
    assert asked.read() is None
    asked.write({"cls_map": 0.5})
    assert asked.read() == {"cls_map": 0.5}
    other = KeptScores(path, {"scratch": {"steps": 6}, "test_splits": ("a",)})
    assert other.read() is None
