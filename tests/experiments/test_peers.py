import json

import numpy as np
import pytest
import scipy.fft

from audio_triplet import front_end
from audio_triplet.errors import UsageError
from experiments import peers
from experiments.lib.peers import baselines


def test_models_that_are_not_there_are_left_out_and_rows_are_kept(folds, tmp_path, monkeypatch):
    table = peers.make_table(folds, str(tmp_path), ["log_mel", "hear:no_such_module", "mfcc"])
    assert [row["name"] for row in table["rows"]] == ["log_mel", "mfcc"]
    assert [row["dimensions"] for row in table["rows"]] == [128, 40]
    for row in table["rows"]:
        assert row["probe_accuracy"] > 0.9  # tones of three pitches
        assert row["query_map"] > 0.9 and row["hours_a_minute"] > 0
    # Another command goes on with what was made.
    monkeypatch.setattr(peers, "score", None)
    again = peers.make_table(folds, str(tmp_path), ["log_mel", "mfcc"])
    assert again["rows"] == json.loads((tmp_path / "peers.json").read_text())["rows"]
    text = (tmp_path / "peers.md").read_text()
    assert "| mfcc | 40 | 0.9" in text and "2 folds, each tested once" in text


def test_without_any_model_it_is_told(folds, tmp_path):
    with pytest.raises(UsageError, match="none of them could be opened"):
        peers.make_table(folds, str(tmp_path), ["hear:no_such_module"])


def test_baselines_by_their_formulas():
    sound = np.random.default_rng(0).normal(scale=0.1, size=[3, 15_600]).astype("f4")
    log_mel = np.log(np.stack([front_end.mel_energies_numpy(s) for s in sound]) + 0.01)
    wanted = np.concatenate([log_mel.mean(1), log_mel.std(1)], axis=1)
    found = baselines.open_baseline("log_mel").embed_windows(sound)
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1)[:, None], atol=1e-5)
    cepstra = scipy.fft.dct(log_mel.astype("f8"), norm="ortho")[..., :20]
    wanted = np.concatenate([cepstra.mean(1), cepstra.std(1)], axis=1)
    found = baselines.open_baseline("mfcc").embed_windows(sound)
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1)[:, None], atol=1e-5)
