"""Adding segments to an index, as they are done."""

import numpy as np
import pandas as pd

from audio_triplet.config import EmbedConfig
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings.embedding_set import Embedded
from audio_triplet.search import adding


class _Writer:
    """Keeps what is added."""

    def __init__(self):
        self.paths, self.most = [], 0

    def add(self, embeddings, outlines=None):
        self.paths += embeddings.manifest.frame["path"].tolist()
        self.most = max(self.most, len(embeddings.manifest))


class _Model:
    path, digest = "model", "0"


def test_segments_are_added_in_order_though_threads_finish_out_of_order(tmp_path, monkeypatch):
    """Two threads swap neighbours: at the border of a group too, where they once stayed so."""
    paths = [tmp_path / f"{number:03}.wav" for number in range(201)]
    for path in paths:
        path.touch()
    order = np.arange(200).reshape(-1, 2)[:, ::-1].ravel()  # 1, 0, 3, 2, …
    order = np.r_[0, 1 + order]  # so that groups of any even size have a swapped pair at their end

    def embed_files(model, manifest, config, bad_files, on_progress, listen):
        for row in order.tolist():
            one = np.zeros(1)
            yield Embedded(row, np.eye(1, 8, dtype="f4"), one, one + 0.975, np.ones(1, "f4"), 1.0)

    monkeypatch.setattr(adding, "embed_files", embed_files)
    writer = _Writer()
    manifest = Manifest(pd.DataFrame({"path": [str(path) for path in paths]}))
    adding.embed_into(
        writer, _Model(), manifest, EmbedConfig(), BadFiles(), lambda seconds: None, False
    )
    assert writer.paths == [str(path) for path in paths]
    assert writer.most <= 64
