"""A long recording, cut over the workers of a Beam pipeline (extra `[beam]`).

Each piece is a job; it begins where a patch begins, and ends where the last one of its patches
does. Put together, their vectors are those of the recording as a whole: to the last bit where
nothing is resampled, else within 1e-5, as a resampler that starts at a piece rounds differently.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from audio_triplet import storage
from audio_triplet.config import FRONT_END, EmbedConfig
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings import model_files
from audio_triplet.embeddings.embed import embed_files, gathered
from audio_triplet.embeddings.embedding_set import Embedded
from audio_triplet.embeddings.sounds import RATE
from audio_triplet.embeddings.worker_model import WithModel, load_model
from audio_triplet.pipelines import jobs, running
from audio_triplet.pipelines.runners import Parsed

if TYPE_CHECKING:
    from audio_triplet.embeddings.other_models import Embedder

_WORK_DIR = f"{jobs.WORK_DIR}.pieces"

# Formats in which a place is found at once and exactly; others are one worker's.
_SEEKABLE = (".wav", ".flac", ".aif", ".aiff", ".w64", ".rf64", ".caf", ".au")

# Patches of a piece are a multiple of this, so that whatever else is measured every 40 ms goes on
# in the next piece as if there were none; and sound goes on for as long after a piece's end.
_PATCHES, _AFTER_SAMPLES = 4, 640


class Piece(NamedTuple):
    """A piece of a recording.

    Attributes:
      start_seconds: Where in the file it begins.
      end_seconds: Where it ends.
      patches: How many patches it has; 0: all that are left.
    """

    start_seconds: float
    end_seconds: float
    patches: int


class Joined(NamedTuple):
    """A recording that was embedded in pieces.

    Attributes:
      segment: The whole of it.
      heard: What else was heard of it, see `EmbedPieces.embed`.
    """

    segment: Embedded
    heard: np.ndarray


def pieces_of(
    start_seconds: float, end_seconds: float, seconds: float, hop: int, job_seconds: float
) -> list[Piece]:
    """Cuts a part of a file.

    Args:
      start_seconds: Where the part begins.
      end_seconds: Where it ends; NaN: with the file.
      seconds: Length of its sound.
      hop: Samples from one patch to the next.
      job_seconds: About the length of a piece.
    """
    first = round(start_seconds * RATE)
    patches = max(1, 1 + (round(seconds * RATE) - FRONT_END.patch_samples) // hop)
    size = max(_PATCHES, round(job_seconds * RATE / hop / _PATCHES) * _PATCHES)
    sound = max((size - 1) * hop + FRONT_END.patch_samples, size * hop + _AFTER_SAMPLES)
    begins = range(0, max(1, patches - _PATCHES), size)
    found = [
        Piece((first + begin * hop) / RATE, (first + begin * hop + sound) / RATE, size)
        for begin in begins
    ]
    found[-1] = Piece(found[-1].start_seconds, end_seconds, 0)
    return found


class LongRecordings:
    """The long recordings of a manifest, embedded in pieces by a pipeline.

    Args:
      parsed: The runner and its options.
      output_dir: A folder that all share.
      model: The model.
      manifest: The segments.
      seconds: float64[n], of sound in each of them.
      config: Granularity, hop, batch and threads.
    """

    def __init__(
        self,
        parsed: Parsed,
        output_dir: str,
        model: Embedder,
        manifest: Manifest,
        seconds: np.ndarray,
        config: EmbedConfig,
    ):
        self._parsed, self._model, self._manifest = parsed, model, manifest
        self._folder = os.path.join(running.absolute(output_dir), _WORK_DIR)
        self._seconds, self._config = seconds, config
        self._job_seconds = jobs.size(float(seconds.sum()))
        self._done: list[int] = []

    def rows(self) -> list[int]:
        """The rows that are cut: each at least two jobs long, and alone of its file.

        Of models of others none: the pieces are whole patches of ours.
        """
        if model_files.is_of_others(self._model.path):
            return []
        paths = self._manifest.frame["path"]
        can = paths.str.lower().str.endswith(_SEEKABLE) & ~paths.duplicated(keep=False)
        return np.flatnonzero(can.to_numpy() & (self._seconds >= 2 * self._job_seconds)).tolist()

    def embed(
        self,
        bad_files: BadFiles,
        on_progress: Callable[[float], object],
        work: type[EmbedPieces] | None = None,
    ) -> Iterator[Joined]:
        """Embeds them.

        Args:
          bad_files: Says whether truncated files are used; notes what was read.
          on_progress: Called with the seconds of sound that are done since the last call.
          work: What does a job; by default `EmbedPieces`.

        Yields:
          Each one whose pieces fit together. The others, such as files that are shorter than they
          say, are left in `rest`.
        """
        self._done = []
        names, todo = self._laid_out(bad_files.truncated)
        if not names:
            return
        done = functools.partial(jobs.is_done, self._folder)
        with running.Watch(done, todo, on_progress):
            does = (work or EmbedPieces)(
                self._folder,
                model_files.located(self._model.path),
                self._model.digest,
                self._config,
            )
            running.run(self._parsed, "pieces", todo, does, done)
        for row, of_row in names.items():
            joined = self._join(row, of_row, bad_files)
            if joined is not None:
                self._done.append(row)
                yield joined
            else:
                on_progress(-float(self._seconds[row]))

    def rest(self) -> np.ndarray:
        """The rows that `embed` did not yield, int64[n], in their order."""
        return np.setdiff1d(np.arange(len(self._manifest)), self._done)

    def clear(self) -> None:
        """Removes the pieces, when what was made of them is kept."""
        jobs.clear(self._folder)

    def _laid_out(self, truncated: str) -> tuple[dict[int, list[str]], dict[str, float]]:
        """Writes the jobs: row → their names in order; name → seconds of sound."""
        names: dict[int, list[str]] = {}
        todo: dict[str, float] = {}
        frame = self._manifest.frame
        for row in self.rows():
            one = self._manifest.take(np.array([row]))
            told = {
                "truncated": truncated,
                "stamps": jobs.stamps([frame["path"].iloc[row]]),
                "model": self._model.digest,
                "config": dataclasses.asdict(self._config),
            }
            start, end = (float(frame[name].iloc[row]) for name in ("start_seconds", "end_seconds"))
            seconds = float(self._seconds[row])
            cut = pieces_of(start, end, seconds, self._config.hop_samples, self._job_seconds)
            names[row] = []
            for number, piece in enumerate(cut):
                part = Manifest.of_checked(
                    one.frame.assign(
                        start_seconds=piece.start_seconds, end_seconds=piece.end_seconds
                    ),
                    one.name,
                )
                whole = start == 0 and end != end
                more = told | {"patches": piece.patches, "whole": whole}
                names[row].append(jobs.write(self._folder, number, part, more))
                todo[names[row][-1]] = seconds / len(cut)
        if names:
            jobs.keep_only(self._folder, todo)
        return names, todo

    def _join(self, row: int, names: list[str], bad_files: BadFiles) -> Joined | None:
        vectors, energies, heard, seconds = [], [], [], 0.0
        start = float(self._manifest.frame["start_seconds"].iloc[row])
        for name in names:
            manifest, told = jobs.read(self._folder, name)
            if not storage.exists(_piece(self._folder, name)):
                return None
            with np.load(_piece(self._folder, name), allow_pickle=False) as file:
                if told["patches"] and len(file["vectors"]) != told["patches"]:
                    return None
                vectors.append(file["vectors"])
                energies.append(file["energy"])
                heard.append(file["heard"])
                seconds = manifest.frame["start_seconds"].iloc[0] - start + float(file["seconds"])
        for name in names:
            jobs.finished(self._folder, name, bad_files)
        segment = gathered(
            row, np.concatenate(vectors), np.concatenate(energies), start, seconds, self._config
        )
        return Joined(segment, np.concatenate(heard))


class EmbedPieces(WithModel):
    """Name of a job → the same name, when the embeddings of its piece are written."""

    def process(self, name: str) -> Iterator[str]:
        """Does one job, unless it is done."""
        if not jobs.is_done(self._folder, name):
            manifest, told = jobs.read(self._folder, name)
            config = EmbedConfig(**self._config | {"granularity": "patch"})
            model = load_model(self._model, self._digest, config.precision)
            bad_files = BadFiles(told["truncated"])
            found, heard = self.embed(model, manifest, config, bad_files, told)
            if found:
                content = {
                    "vectors": found[0].vectors,
                    "energy": found[0].energy,
                    "seconds": np.array(found[0].seconds),
                    "heard": heard,
                }
                storage.save_arrays(_piece(self._folder, name), content, unique=True)
            jobs.finish(self._folder, name, bad_files)
        yield name

    def embed(
        self,
        model: Embedder,
        manifest: Manifest,
        config: EmbedConfig,
        bad_files: BadFiles,
        told: dict[str, Any],
    ) -> tuple[list[Embedded], np.ndarray]:
        """Embeds a piece.

        Returns:
          It, if it can be read; and an array of what else was heard, which is joined to those of
          the other pieces along its first axis.
        """
        found = embed_files(model, manifest, config, bad_files)
        return list(found), np.zeros(0, np.uint8)


def _piece(folder: str, name: str) -> str:
    return storage.join(folder, f"{name}.npz")
