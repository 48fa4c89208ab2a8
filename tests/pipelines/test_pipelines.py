"""Embedding and indexing by pipelines: the same as one process makes, whatever was stopped."""

import os
import shutil

import numpy as np
import pytest

from audio_triplet.commands import inputs
from audio_triplet.config import EmbedConfig
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings import folder as embedding_folder
from audio_triplet.embeddings import other_models
from audio_triplet.embeddings.set_files import load_set
from audio_triplet.errors import UsageError
from audio_triplet.pipelines import jobs, runners
from audio_triplet.search import adding, index_writer
from tests.search.index_content import assert_same, content

pytest.importorskip("apache_beam", reason="apache-beam is not installed")

IN_PROCESS = ["--runner=DirectRunner", "--direct_num_workers=1", "--direct_running_mode=in_memory"]


@pytest.fixture(scope="module")
def small_model(small_model):
    """As workers open it, so that bits can be compared."""
    return other_models.open_embedder(small_model.path)


@pytest.fixture(scope="module")
def sound(tone_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    shutil.copytree(tone_folder, folder, dirs_exist_ok=True)
    (folder / "bad.wav").write_bytes(b"no sound")
    # Its header is whole, so that a worker finds out.
    whole = (folder / "low" / "low5.wav").read_bytes()
    (folder / "low" / "cut.wav").write_bytes(whole[: len(whole) // 2])
    return str(folder)


@pytest.fixture(scope="module")
def classifier(small_model, tone_folder, tmp_path_factory):
    from audio_triplet.commands.classify import fit
    from audio_triplet.config import ClassifyConfig

    out = str(tmp_path_factory.mktemp("fitted"))
    manifest, _ = inputs.load_inputs([tone_folder])
    fit.fit(manifest, small_model.path, out, ClassifyConfig(folds=2))
    return os.path.join(out, "classifier")


@pytest.fixture(autouse=True)
def small_jobs(monkeypatch):
    monkeypatch.setattr(jobs, "LEAST_SECONDS", 10.0)


def embed(small_model, sound, output_dir, elsewhere=None, **options):
    manifest, names = inputs.load_inputs([sound], "none")
    bad_files = BadFiles("use")
    done = embedding_folder.embed_to_folder(
        small_model,
        manifest,
        names,
        str(output_dir),
        EmbedConfig(),
        bad_files=bad_files,
        elsewhere=elsewhere,
        **options,
    )
    return done, bad_files


def files_in(folder):
    return sorted(
        os.path.relpath(os.path.join(current, name), folder)
        for current, _, names in os.walk(folder)
        for name in names
        if name.endswith(".npz")
    )


def test_jobs_have_whole_files_each_once(tmp_path):
    import pandas as pd

    rng = np.random.default_rng(0)
    names = [f"/s/{name}.wav" for name in rng.integers(0, 40, 200)]
    frame = pd.DataFrame({"path": names, "start_seconds": np.arange(200) / 3})
    frame["end_seconds"] = frame["start_seconds"] + 1.1
    manifest, seconds = Manifest(frame, "m"), rng.uniform(0.1, 2, 200)
    work = str(tmp_path / "work")
    todo = jobs.lay_out(work, manifest, seconds, lambda rows: {"told": rows.tolist()})
    assert len(todo) > 3 and sum(todo.values()) == pytest.approx(seconds.sum())
    read = [jobs.read(work, name) for name in todo]
    for part, told in read:  # of all rows, each job is told its own only
        assert [names[row] for row in told["told"]] == part.frame["path"].tolist()
    paths = [set(part.frame["path"]) for part, _ in read]
    assert sum(map(len, paths)) == len(set(names)) and set.union(*paths) == set(names)
    columns = ["path", "start_seconds", "end_seconds"]
    together = pd.concat([part.frame for part, _ in read])
    pd.testing.assert_frame_equal(
        together[columns].sort_values("start_seconds").reset_index(drop=True),
        manifest.frame[columns],
        check_dtype=False,
    )


def test_jobs_are_enough_for_a_thousand_workers(monkeypatch):
    monkeypatch.undo()  # of smaller jobs
    hour = 3600
    assert jobs.size(2 * hour) == 600  # starting a shorter one would cost much
    assert jobs.size(64 * hour) == hour
    for hours in (5_556, 20_000, 100_000):  # the first is AudioSet
        count = hours * hour / jobs.size(hours * hour)
        assert 1_000 < count <= 2_048
    assert jobs.size(1e6 * hour) == 70 * hour  # what is lost with a worker


@pytest.mark.slow
def test_embedding_by_a_pipeline_is_that_of_one_process(small_model, sound, tmp_path):
    from audio_triplet.embeddings.embed_pipeline import ByPipeline

    one, bad_one = embed(small_model, sound, tmp_path / "one")
    elsewhere = ByPipeline(runners.parse(IN_PROCESS), str(tmp_path / "many"))
    seconds = []
    many, bad_many = embed(
        small_model, sound, tmp_path / "many", elsewhere, on_progress=seconds.append
    )
    assert many.files == one.files == 21 and many.embeddings == one.embeddings
    assert many.seconds == pytest.approx(one.seconds) and len(seconds) > 2
    assert bad_many.entries == bad_one.entries and len(bad_one.entries) == 1
    assert bad_many.log.truncated == bad_one.log.truncated and len(bad_one.log.truncated) == 1
    assert bad_many.log.counts() == bad_one.log.counts()
    assert files_in(tmp_path / "many") == files_in(tmp_path / "one")
    for name in files_in(tmp_path / "one"):
        first, second = (load_set(str(tmp_path / folder / name)) for folder in ("one", "many"))
        np.testing.assert_array_equal(first.vectors, second.vectors)
        np.testing.assert_array_equal(first.start_seconds, second.start_seconds)
    assert not (tmp_path / "many" / jobs.WORK_DIR).exists()
    # Finished files are kept, a lost one is made again.
    lost = tmp_path / "many" / files_in(tmp_path / "many")[3]
    content, kept = lost.read_bytes(), os.stat(tmp_path / "many" / files_in(tmp_path / "many")[0])
    lost.unlink()
    again, _ = embed(small_model, sound, tmp_path / "many", elsewhere)
    assert (again.files, again.finished) == (1, 20) and lost.read_bytes() == content
    assert os.stat(tmp_path / "many" / files_in(tmp_path / "many")[0]) == kept


@pytest.mark.slow
def test_an_index_by_a_pipeline_is_that_of_one_process(small_model, sound, tmp_path, monkeypatch):
    from audio_triplet.search import index_pipeline

    def add(folder, elsewhere=None):
        manifest, _ = inputs.load_inputs([sound], "none")
        bad_files, known = BadFiles("use"), []
        with index_writer.Writer(
            str(folder),
            model=small_model.path,
            model_digest=small_model.digest,
            dim=small_model.embedding_size,
        ) as writer:
            adding.add_files(
                writer,
                small_model,
                manifest,
                EmbedConfig(),
                bad_files,
                lambda finished, seconds: known.append(finished),
                elsewhere=elsewhere,
            )
            pairs = {
                tuple(segment.path for segment in writer.tables.segments(pair).values())
                for pair in [(same.first, same.second) for same in writer.tables.duplicates()]
            }
            return bad_files, known[0], writer.silent, pairs

    bad_one, _, silent, pairs = add(tmp_path / "one")
    elsewhere = index_pipeline.ByPipeline(runners.parse(IN_PROCESS))
    bad_many, _, silent_many, pairs_many = add(tmp_path / "many", elsewhere)
    assert_same(content(tmp_path / "many"), content(tmp_path / "one"))
    assert bad_many.entries == bad_one.entries and len(bad_one.entries) == 1
    assert silent_many == silent > 0
    assert {frozenset(pair) for pair in pairs_many} == {frozenset(pair) for pair in pairs}
    assert not (tmp_path / "many" / jobs.WORK_DIR).exists()

    # The driver is stopped when the first jobs are finished: they are taken, and not made again.
    write, count = index_pipeline.IndexFiles._write, []

    def stops(self, name, target):
        if len(count) == 2:
            raise RuntimeError("stopped")
        count.append(name)
        write(self, name, target)

    monkeypatch.setattr(index_pipeline.IndexFiles, "_write", stops)
    with pytest.raises(RuntimeError, match="stopped"):
        add(tmp_path / "stopped", elsewhere)
    made = os.listdir(tmp_path / "stopped" / jobs.WORK_DIR)
    assert sum(name.endswith(".index") for name in made) == 2
    monkeypatch.setattr(index_pipeline.IndexFiles, "_write", write)
    _, known, _, _ = add(tmp_path / "stopped", elsewhere)
    assert known > 4
    assert_same(content(tmp_path / "stopped"), content(tmp_path / "one"))


@pytest.mark.slow
@pytest.mark.parametrize("granularity", ["patch", "segment"])
def test_predictions_by_a_pipeline_are_those_of_one_process(
    small_model, classifier, sound, tmp_path, monkeypatch, granularity
):
    from audio_triplet.classify import score_pipeline
    from audio_triplet.commands.classify.predict import predict

    manifest, _ = inputs.load_inputs([sound], "none")
    manifest = manifest.take(np.argsort(np.arange(len(manifest)) % 3, kind="stable"))
    config = EmbedConfig(granularity=granularity)

    def written(name, runner=None):
        (tmp_path / name).mkdir(exist_ok=True)
        told = predict(manifest, classifier, str(tmp_path / name), config, runner=runner)
        return told.replace(name, ""), *(
            (tmp_path / name / file).read_text()
            for file in ("predictions.csv", "bad_files.csv", "truncated.csv")
        )

    one = written("one")
    assert one[1].count("\n") > (30 if granularity == "patch" else 20)
    parsed = runners.parse(IN_PROCESS)
    assert written("many", parsed) == one
    assert not (tmp_path / "many" / jobs.WORK_DIR).exists()

    # Stopped in the midst: finished jobs are kept. Another sound: only its job is done again.
    score, count = score_pipeline.score_files, []

    def counts(*arguments):
        count.append(1)
        if len(count) == 3:
            raise RuntimeError("stopped")
        return score(*arguments)

    monkeypatch.setattr(score_pipeline, "score_files", counts)
    with pytest.raises(RuntimeError, match="stopped"):
        written("stopped", parsed)
    assert not (tmp_path / "stopped" / "predictions.csv").exists()
    made = os.listdir(tmp_path / "stopped" / jobs.WORK_DIR)
    laid_out = sum(name.endswith(".json") and ".done" not in name for name in made)
    assert written("stopped", parsed) == one
    assert len(count) == 3 + laid_out - 2

    # A manifest that changed between two starts: nothing of the first one is in the table.
    count.clear()
    with pytest.raises(RuntimeError, match="stopped"):
        written("changed", parsed)
    manifest = manifest.take(np.arange(7, len(manifest))[::-1])
    (tmp_path / "anew").mkdir()
    for name, runner in (("changed", parsed), ("anew", None)):
        predict(manifest, classifier, str(tmp_path / name), config, runner=runner)
    changed, anew = (
        (tmp_path / name / "predictions.csv").read_text() for name in ("changed", "anew")
    )
    assert changed == anew and changed.count("\n") < one[1].count("\n")


@pytest.mark.slow
def test_predictions_by_dask_with_a_cut_recording(small_model, classifier, sound, tmp_path):
    import pandas as pd
    import soundfile

    from audio_triplet.commands.classify.predict import predict
    from tests.pipelines.test_runners import dask_worker

    long = str(tmp_path / "long.wav")
    noise = np.random.default_rng(0).normal(scale=0.1, size=45 * 16_000)
    soundfile.write(long, noise.clip(-1, 1), 16_000)
    manifest, _ = inputs.load_inputs([os.path.join(sound, "low")], "none")
    paths = manifest.frame["path"].tolist()
    manifest = Manifest(pd.DataFrame({"path": [*paths[:3], long, *paths[3:]]}), "mixed")

    def written(name, runner=None):
        (tmp_path / name).mkdir()
        predict(manifest, classifier, str(tmp_path / name), EmbedConfig(), runner=runner)
        return (tmp_path / name / "predictions.csv").read_text()

    with dask_worker(tmp_path) as address:
        parsed = runners.parse(["--runner=DaskRunner", f"--dask_client_address={address}"])
        many = written("many", parsed)
    assert many == written("one") and many.count(long) == 46


def test_a_model_that_a_worker_cannot_use_is_one_line(small_model, tmp_path):
    from audio_triplet.embeddings.worker_model import load_model
    from audio_triplet.errors import ExportError

    with pytest.raises(ExportError, match="is another model than where the work began; put the"):
        load_model(small_model.path, "0" * 64, "float32")
    damaged = tmp_path / "damaged"
    shutil.copytree(small_model.path, damaged)
    graph = damaged / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:1000])
    for path in (damaged, tmp_path / "none"):
        with pytest.raises(ExportError) as raised:
            load_model(str(path), small_model.digest, "float32")
        assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)


def test_two_drivers_of_one_output_are_one_line(sound, tmp_path):
    import fcntl

    from audio_triplet import locks
    from audio_triplet.commands import embed as embed_command
    from audio_triplet.errors import LockedError
    from tests.conftest import flags_given

    arguments = [f"--output_dir={tmp_path}", "--runner=DirectRunner"]
    with open(tmp_path / locks.LOCK_FILE, "w", encoding="utf-8") as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # as another process's driver
        with flags_given(embed_command.define_flags, arguments):
            with pytest.raises(LockedError) as raised:
                embed_command.main(["embed", sound, "--direct_num_workers=1"])
    assert "\n" not in str(raised.value) and str(tmp_path) in str(raised.value)


def test_flags_of_a_runner_reach_it(tmp_path):
    from absl import flags

    from audio_triplet.commands import config_flags
    from tests.conftest import flags_given

    with flags_given(config_flags.define_runner_flag, ["--runner=FlinkRunner"]):
        sounds, parsed = config_flags.runner_from_flags(["a.wav", "--parallelism=3", "b.wav"])
        assert sounds == ["a.wav", "b.wav"] and flags.FLAGS.runner == "FlinkRunner"
        assert parsed.options.get_all_options()["parallelism"] == 3
        with pytest.raises(UsageError, match="--nonsense=1: neither a flag of this command"):
            config_flags.runner_from_flags(["a.wav", "--nonsense=1"])
    with flags_given(config_flags.define_runner_flag, []):
        assert config_flags.runner_from_flags(["a.wav"]) == (["a.wav"], None)
