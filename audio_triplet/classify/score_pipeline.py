"""Scoring sound by the workers of a Beam pipeline (extra `[beam]`)."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from audio_triplet import storage
from audio_triplet.classify.classifier import SoundClassifier
from audio_triplet.classify.scoring import Scored, Scorer, score_files
from audio_triplet.config import EmbedConfig
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings import model_files
from audio_triplet.embeddings.folder import readable
from audio_triplet.embeddings.long_recordings import LongRecordings
from audio_triplet.embeddings.worker_model import WithModel, check, load_model
from audio_triplet.pipelines import jobs, running
from audio_triplet.pipelines.runners import Parsed

if TYPE_CHECKING:
    from audio_triplet.embeddings.other_models import Embedder

Progress = Callable[[float], contextlib.AbstractContextManager[Callable[[float], object]]]


class ByPipeline:
    """`scoring.score_files` by the workers of a pipeline.

    What they finished before a stop is kept.

    Args:
      parsed: The runner and its options.
      classifier_dir: Folder of the classifier.
      output_dir: A folder that all share, for jobs and their scores.
      progress: Seconds of sound in all → a context in which what it gives is called with the
        seconds that are done since the last call.
    """

    def __init__(
        self,
        parsed: Parsed,
        classifier_dir: str,
        output_dir: str,
        progress: Progress = lambda seconds: contextlib.nullcontext(lambda done: None),
    ):
        self._parsed, self._classifier_dir = parsed, os.path.abspath(classifier_dir)
        self._folder = os.path.join(running.absolute(output_dir), jobs.WORK_DIR)
        self._progress = progress

    def __call__(
        self, model: Embedder, manifest: Manifest, config: EmbedConfig, bad_files: BadFiles
    ) -> Iterator[Scored]:
        """See `scoring.score_files`."""
        wanted, seconds = readable(manifest, np.arange(len(manifest)), bad_files)
        if wanted is None:
            return
        output_dir = os.path.dirname(self._folder)
        os.makedirs(output_dir, exist_ok=True)
        check(self._parsed, output_dir, model, wanted, [self._classifier_dir])
        cut = LongRecordings(
            self._parsed,
            output_dir,
            model,
            wanted,
            seconds,
            dataclasses.replace(config, granularity="patch"),
        )
        with self._progress(float(seconds.sum())) as advance:
            score = Scorer(SoundClassifier.load(self._classifier_dir), config)
            paths = wanted.frame["path"]
            long = [
                score(segment, paths.iloc[segment.row])
                for segment, _ in cut.embed(bad_files, advance)
            ]
            names = self._score(model, wanted, seconds, cut.rest(), config, bad_files, advance)
        yield from self._in_order(names, long, bad_files)
        jobs.clear(self._folder)
        cut.clear()

    def _score(
        self,
        model: Embedder,
        manifest: Manifest,
        seconds: np.ndarray,
        rows: np.ndarray,
        config: EmbedConfig,
        bad_files: BadFiles,
        advance: Callable[[float], object],
    ) -> list[str]:
        """Scores some rows, each file by one worker; gives the names of the jobs."""
        if not len(rows):
            return []
        settings = {
            "truncated": bad_files.truncated,
            "classifier": _digest(self._classifier_dir),
            "model": model.digest,
            "hop_seconds": config.hop_seconds,
            "granularity": config.granularity,
        }
        part = manifest.take(rows)

        def told(chosen: np.ndarray) -> dict:
            stamps = jobs.stamps(part.frame["path"].iloc[chosen].unique())
            return settings | {"rows": rows[chosen].tolist(), "stamps": stamps}

        todo = jobs.lay_out(self._folder, part, seconds[rows], told, keep=True)
        done = functools.partial(jobs.is_done, self._folder)
        with running.Watch(done, todo, advance):
            work = ScoreFiles(self._folder, model, config, self._classifier_dir)
            running.run(self._parsed, "score", todo, work, done)
        return list(todo)

    def _in_order(
        self, names: list[str], long: list[Scored], bad_files: BadFiles
    ) -> Iterator[Scored]:
        """What the jobs made, in the manifest's order; no more is held than that needs."""
        first = [min(jobs.read(self._folder, name)[1]["rows"]) for name in names]
        following = np.minimum.accumulate([*first, np.iinfo(np.int64).max][::-1])[::-1]
        waiting = {scored.row: scored for scored in long}
        for number, name in enumerate(names):
            waiting |= {scored.row: scored for scored in _read(self._folder, name)}
            jobs.finished(self._folder, name, bad_files)
            for row in sorted(row for row in waiting if row < following[number + 1]):
                yield waiting.pop(row)
        for row in sorted(waiting):
            yield waiting[row]


class ScoreFiles(WithModel):
    """Name of a job → the same name, when the scores of its files are written.

    Args:
      folder: Folder of the jobs.
      model: The model.
      config: Granularity of the scores, hop, batch and threads.
      classifier_dir: Folder of the classifier.
    """

    def __init__(self, folder: str, model: Embedder, config: EmbedConfig, classifier_dir: str):
        super().__init__(folder, model_files.located(model.path), model.digest, config)
        self._classifier_dir = classifier_dir

    def process(self, name: str) -> Iterator[str]:
        """Does one job, unless it is done."""
        if not jobs.is_done(self._folder, name):
            manifest, told = jobs.read(self._folder, name)
            config = EmbedConfig(**self._config)
            model = load_model(self._model, self._digest, config.precision)
            fitted = SoundClassifier.load(self._classifier_dir)
            bad_files = BadFiles(told["truncated"])
            found = list(score_files(fitted, model, manifest, config, bad_files))
            _write(self._folder, name, found, told["rows"], len(fitted.classes))
            jobs.finish(self._folder, name, bad_files)
        yield name


def _write(folder: str, name: str, found: list[Scored], rows: list[int], classes: int) -> None:
    none = np.zeros(0)
    no_scores = np.zeros((0, classes), np.float32)
    content = {
        "row": np.array([rows[scored.row] for scored in found], np.int64),
        "path": np.array([scored.path for scored in found], str),
        "count": np.array([len(scored.scores) for scored in found], np.int64),
        "start": np.concatenate([none, *(scored.start_seconds for scored in found)]),
        "end": np.concatenate([none, *(scored.end_seconds for scored in found)]),
        "scores": np.concatenate([no_scores, *(scored.scores for scored in found)]),
    }
    storage.save_arrays(_scores(folder, name), content, unique=True)


def _read(folder: str, name: str) -> Iterator[Scored]:
    with np.load(_scores(folder, name), allow_pickle=False) as file:
        content = dict(file)
    last = np.cumsum(content["count"])
    for row, path, first, end in zip(
        content["row"].tolist(), content["path"], last - content["count"], last, strict=True
    ):
        place = slice(first, end)
        yield Scored(
            row, str(path), content["start"][place], content["end"][place], content["scores"][place]
        )


def _digest(folder: str) -> str:
    """A hash of a classifier's files."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            with open(path, "rb") as file:
                digest.update(file.read())
    return digest.hexdigest()


def _scores(folder: str, name: str) -> str:
    return storage.join(folder, f"{name}.npz")
