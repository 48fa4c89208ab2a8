"""Two writers of one folder: the first is left alone, the second is told."""

import os

import pytest

from audio_triplet import locks
from audio_triplet.config import PrepareConfig
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.errors import LockedError
from data_prep.preparation import prepare
from tests.test_locks import holder


@pytest.mark.slow
def test_training_and_preparing_leave_a_folder_to_its_writer(tone_folder, prepared, tmp_path):
    from tests.training.runs import config_of, run

    manifest = load_corpus(f"folders:{tone_folder}")
    for folder, write in (
        ("run", lambda: run(config_of(2), prepared, tmp_path / "run")),
        ("shards", lambda: prepare(manifest, str(tmp_path / "shards"), PrepareConfig(), False)),
    ):
        process = holder(tmp_path / folder)
        with pytest.raises(LockedError, match=f"{folder}: another process is writing it"):
            write()
        assert os.listdir(tmp_path / folder) == [locks.LOCK_FILE]
        process.communicate()
        write()
        assert locks.LOCK_FILE not in os.listdir(tmp_path / folder)
