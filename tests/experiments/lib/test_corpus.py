import os
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from audio_triplet.config import PrepareConfig
from audio_triplet.data.manifest import Manifest
from audio_triplet.data.splits import train_test
from audio_triplet.errors import CorpusError
from experiments.lib.corpus import NONE, load_for_training, open_corpus


@pytest.fixture
def noise_folder(tmp_path):
    """An unlabelled archive of four recordings."""
    folder = tmp_path / "noise"
    folder.mkdir()
    for number in range(4):
        sound = np.random.default_rng(number).normal(size=16000) * 0.1
        soundfile.write(folder / f"{number}.wav", sound, 16000)
    return str(folder)


def test_unlabelled_sound_joins_the_training_side_without_its_labels(
    tone_folder, noise_folder, tmp_path
):
    manifest = tmp_path / "split.csv"
    rows = [
        f"{os.path.join(tone_folder, label, f'{label}{n}.wav')},{label},{'test' if n < 2 else 'a'}"
        for label in ("low", "high")
        for n in range(6)
    ]
    manifest.write_text("path,labels,split\n" + "\n".join(rows))
    corpus = open_corpus(
        f"manifest:{manifest}",
        str(tmp_path / "prepared"),
        config=PrepareConfig(),
        unlabelled=f"folders:{noise_folder}",
    )
    assert corpus.train_splits == ("a", "unlabelled") and corpus.test_splits == ("test",)
    assert corpus.manifest.classes == ("high", "low")
    assert corpus.train.recordings == 8 + 4 and corpus.everything.recordings == 12 + 4
    of_noise = corpus.manifest.frame[corpus.manifest.frame["split"] == "unlabelled"]
    assert (of_noise["labels"] == "").all() and len(of_noise) == 4
    again = open_corpus(f"{tmp_path}/prepared", "")
    assert again.train_splits == ("a", "unlabelled")
    with pytest.raises(CorpusError, match="is prepared; shares and unlabelled"):
        open_corpus(f"{tmp_path}/prepared", "", unlabelled=f"folders:{noise_folder}")


def test_the_last_fold_is_tested_beside_unlabelled_sound_too():
    frame = pd.DataFrame(
        {
            "path": ["a.wav", "b.wav", "c.wav"],
            "recording_id": ["a", "b", "c"],
            "labels": ["dog", "dog", ""],
            "split": ["fold1", "fold2", "unlabelled"],
        }
    )
    train, test = train_test(Manifest(frame, "both"))
    assert train.splits == ("fold1", "unlabelled") and test.splits == ("fold2",)


def test_unlabelled_sound_needs_splits_beside_it(tone_folder, noise_folder):
    with pytest.raises(CorpusError, match="has no splits"):
        load_for_training(f"folders:{tone_folder}", {}, f"folders:{noise_folder}")


def test_none_trains_on_everything(prepared):
    held = open_corpus(prepared, "")
    everything = open_corpus(prepared, "", (NONE,))
    assert held.test_splits and everything.test_splits == ()
    assert everything.train.recordings == held.everything.recordings > held.train.recordings


def test_files_and_shards_are_opened_alike(tone_folder, prepared, tmp_path):
    """Both name the same splits, classes and recordings; only where chunks come from differs."""
    manifest = tmp_path / "split.csv"
    shutil.copy(f"{prepared}/manifest.csv", manifest)  # its paths are absolute
    shards = open_corpus(prepared, "")
    files = open_corpus(f"manifest:{manifest}", "", decoder="libsndfile")
    assert files.folder == "" and not (tmp_path / "prepared").exists()
    assert (files.train_splits, files.test_splits) == (shards.train_splits, shards.test_splits)
    assert files.train.classes == shards.train.classes
    keys = [
        {int(chunk["piece"]) for chunk in corpus.train.in_order().as_numpy_iterator()}
        for corpus in (files, shards)
    ]
    assert keys[0] == keys[1] and len(keys[0]) == files.train.recordings
