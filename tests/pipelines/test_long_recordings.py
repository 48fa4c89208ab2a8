"""A recording that is cut over workers: the same as one process makes."""

import numpy as np
import pytest
import soundfile

from audio_triplet.config import EmbedConfig
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings import embed, other_models
from audio_triplet.embeddings import folder as embedding_folder
from audio_triplet.embeddings.set_files import load_set
from audio_triplet.pipelines import jobs, runners
from audio_triplet.search import adding, index_writer
from tests.pipelines.test_pipelines import IN_PROCESS
from tests.search.index_content import assert_same, content

pytest.importorskip("apache_beam", reason="apache-beam is not installed")


@pytest.mark.parametrize("hop_seconds", [0.96, 0.48, 0.01])
@pytest.mark.parametrize("seconds", [0.4, 60.0, 61.7])
def test_pieces_have_each_patch_once(hop_seconds, seconds):
    from audio_triplet.embeddings.long_recordings import pieces_of
    from audio_triplet.embeddings.patch_cutting import cut_patches

    hop = EmbedConfig(hop_seconds=hop_seconds).hop_samples
    sound = np.arange(round(seconds * 16_000), dtype=np.float32)

    def starts(first, last):
        found = [patches for patches, _, _ in cut_patches([sound[first:last]], hop, by_mel=False)]
        return np.concatenate([patches[:, 0] for patches in found if len(patches)])

    cut = pieces_of(3.0, np.nan, seconds, hop, 10.0)
    assert len(cut) == (1 if seconds < 10 else pytest.approx(seconds / 10, abs=1.5))
    assert cut[0].start_seconds == 3 and np.isnan(cut[-1].end_seconds)
    found = []
    for piece in cut:
        first = round((piece.start_seconds - 3) * 16_000)
        last = None if piece is cut[-1] else round((piece.end_seconds - 3) * 16_000)
        assert piece.patches * hop % 640 == 0  # outlines go on
        found.append(starts(first, last))
        assert piece is cut[-1] or len(found[-1]) == piece.patches
    np.testing.assert_array_equal(np.concatenate(found), starts(0, None))


@pytest.fixture(scope="module")
def small_model(small_model):
    """As workers open it, so that bits can be compared."""
    return other_models.open_embedder(small_model.path)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Of a minute: at 16 kHz, resampled, cut short, Ogg; and a short one."""
    folder = tmp_path_factory.mktemp("long")
    rng = np.random.default_rng(0)

    def noise(seconds, rate):
        loud = np.repeat(rng.uniform(0.01, 0.3, round(seconds * 4) + 1), rate // 4)
        return (rng.normal(size=round(seconds * rate)) * loud[: round(seconds * rate)]).clip(-1, 1)

    soundfile.write(folder / "a.wav", noise(61.3, 16_000), 16_000)
    soundfile.write(folder / "b.flac", noise(55.0, 44_100), 44_100)
    soundfile.write(folder / "c.wav", noise(50.0, 16_000), 16_000)
    whole = (folder / "c.wav").read_bytes()
    (folder / "c.wav").write_bytes(whole[: len(whole) * 2 // 3])
    soundfile.write(folder / "d.ogg", noise(45.0, 16_000), 16_000)
    soundfile.write(folder / "e.wav", noise(3.0, 16_000), 16_000)
    return [str(folder / name) for name in ("a.wav", "b.flac", "c.wav", "d.ogg", "e.wav")]


def manifest_of(paths):
    import pandas as pd

    return Manifest(pd.DataFrame({"path": paths}), "long")


@pytest.mark.slow
def test_a_cut_recording_is_embedded_as_if_it_were_whole(
    small_model, recordings, tmp_path, monkeypatch
):
    from audio_triplet.embeddings import long_recordings
    from audio_triplet.embeddings.embed_pipeline import ByPipeline

    monkeypatch.setattr(jobs, "LEAST_SECONDS", 10.0)
    manifest, bad_files = manifest_of(recordings), BadFiles("use")
    one = embed.embed_manifest(small_model, manifest, bad_files=BadFiles("use"))
    elsewhere, advanced, cut = (
        ByPipeline(runners.parse(IN_PROCESS), str(tmp_path)),
        [],
        [],
    )
    process = long_recordings.EmbedPieces.process

    def counts(self, name):
        cut.append(jobs.read(self._folder, name)[0].frame["path"].iloc[0])
        return process(self, name)

    monkeypatch.setattr(long_recordings.EmbedPieces, "process", counts)
    done = embedding_folder.embed_to_folder(
        small_model,
        manifest,
        [path.rsplit("/", 1)[1] for path in recordings],
        str(tmp_path),
        EmbedConfig(),
        bad_files=bad_files,
        on_progress=advanced.append,
        elsewhere=elsewhere,
    )
    assert done.files == 5 and not bad_files.entries and list(bad_files.log.truncated) == cut[-1:]
    assert len(cut) > 12 and set(cut) == set(recordings[:3])  # not Ogg, and not what is short
    assert not (tmp_path / long_recordings._WORK_DIR).exists()
    for row, path in enumerate(recordings):
        many = load_set(str(tmp_path / f"{path.rsplit('/', 1)[1]}.npz"))
        rows = one.segment_index == row
        if path.endswith(".flac"):  # resampled
            np.testing.assert_allclose(many.vectors, one.vectors[rows], atol=1e-5)
        else:
            np.testing.assert_array_equal(many.vectors, one.vectors[rows])
        np.testing.assert_allclose(many.start_seconds, one.start_seconds[rows], atol=1e-9)
        np.testing.assert_allclose(many.end_seconds, one.end_seconds[rows], atol=1e-9)
        np.testing.assert_allclose(many.energy, one.energy[rows], rtol=1e-4)


@pytest.mark.slow
def test_a_cut_recording_in_an_index(small_model, recordings, tmp_path, monkeypatch):
    from audio_triplet.search import index_pipeline

    monkeypatch.setattr(jobs, "LEAST_SECONDS", 10.0)
    manifest = manifest_of([recordings[0], recordings[4]])

    def add(name, elsewhere=None):
        with index_writer.Writer(
            str(tmp_path / name),
            model=small_model.path,
            model_digest=small_model.digest,
            dim=small_model.embedding_size,
        ) as writer:
            options = {"elsewhere": elsewhere}
            adding.add_files(writer, small_model, manifest, EmbedConfig(), BadFiles(), **options)
        return content(tmp_path / name)

    one = add("one")
    many = add("many", index_pipeline.ByPipeline(runners.parse(IN_PROCESS)))
    assert len(one[recordings[0], 0.0, None].vectors) == 63
    assert_same(many, one)
