"""Opening `--corpus` for an experiment: prepared shards, split into training and test side."""

import dataclasses
import os
from collections.abc import Mapping

import pandas as pd
from absl import logging

from audio_triplet import storage
from audio_triplet.audio import graph_decoding
from audio_triplet.config import CacheConfig, PrepareConfig
from audio_triplet.corpora import registry
from audio_triplet.data import chunks, decoded_cache, prepared, shard_source
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.file_source import FileChunks
from audio_triplet.data.manifest import Manifest
from audio_triplet.data.manifest_csv import TRAIN, UNLABELLED, UNUSED
from audio_triplet.data.splits import cap, train_test
from audio_triplet.errors import CorpusError
from data_prep.layout import fingerprint
from data_prep.preparation import prepare

NONE = "none"
"""As --test_splits: nothing is held out."""


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A corpus that is ready for training and evaluation.

    Attributes:
      name: What `--corpus` said.
      folder: The prepared folder.
      manifest: All its segments; `segment` of a piece is a row of it.
      train_splits: Splits to train on.
      test_splits: Splits to evaluate on.
      fingerprint: Digest of the corpus.
      skip_damaged: Whether to do without damaged shards.
    """

    name: str
    folder: str
    manifest: Manifest
    train_splits: tuple[str, ...]
    test_splits: tuple[str, ...]
    fingerprint: str
    skip_damaged: bool = False

    @property
    def train(self) -> shard_source.ShardChunks:
        """Pieces of the training side."""
        return self._pieces(self.train_splits)

    @property
    def everything(self) -> shard_source.ShardChunks:
        """Pieces of both sides."""
        return self._pieces(self.train_splits + self.test_splits)

    def _pieces(self, splits: tuple[str, ...]) -> shard_source.ShardChunks:
        return shard_source.ShardChunks(self.folder, splits, skip_damaged=self.skip_damaged)

    @property
    def folds(self) -> tuple[str, ...]:
        """The splits that can be tested on in turn: those with labelled segments."""
        return tuple(
            split
            for split in self.manifest.splits
            if split not in (UNUSED, UNLABELLED) and self.manifest.select(split).classes
        )

    def holding_out(self, test_splits: tuple[str, ...]) -> "Corpus":
        """The same corpus with other splits to test on, all others to train on.

        Raises:
          CorpusError: There are no such splits, or nothing else is left.
        """
        train, test_splits = _sides(self.manifest, test_splits)
        return dataclasses.replace(self, train_splits=train.splits, test_splits=test_splits)


def open_corpus(
    spec: str,
    prepared_dir: str,
    test_splits: tuple[str, ...] = (),
    config: PrepareConfig | None = None,
    max_share: Mapping[str, float] | None = None,
    unlabelled: str = "",
) -> Corpus:
    """Prepares a corpus unless it is, and says which splits are for what.

    Args:
      spec: What `--corpus` said.
      prepared_dir: Where to prepare it.
      test_splits: Splits to test on; chosen by `splits.train_test` if empty; `NONE`: everything
        is trained on.
      config: How to prepare.
      max_share: Greatest shares of the recordings for kinds of sound, see `splits.cap`.
      unlabelled: Another corpus to train on too, see `load_for_training`.

    Returns:
      The corpus.

    Raises:
      CorpusError: It cannot be found, prepared or split.
    """
    if registry.is_prepared(spec):
        if max_share or unlabelled:
            raise CorpusError(
                f"{spec}: is prepared; shares and unlabelled sound are chosen when preparing it"
            )
        folder = os.path.expanduser(spec)
    else:
        folder = prepared_dir
        prepare(load_for_training(spec, max_share, unlabelled), folder, config)
    info = prepared.PreparedInfo.read(folder)
    manifest = prepared.read_manifest(folder, info.source)
    if info.bad_files:
        logging.warning(
            "%s: %d bad files were left out, listed in %s",
            spec,
            len(info.bad_files),
            storage.join(folder, "bad_files.csv"),
        )
    train, held_out = _sides(manifest, test_splits)
    return Corpus(spec, folder, manifest, train.splits, held_out, info.fingerprint)


def _sides(manifest: Manifest, test_splits: tuple[str, ...]) -> tuple[Manifest, tuple[str, ...]]:
    """The part to train on, and the splits to test on."""
    if manifest.splits == (TRAIN,) or test_splits == (NONE,):
        return manifest.select([split for split in manifest.splits if split != UNUSED]), ()
    train, test = train_test(manifest, test_splits)
    return train, test.splits


def load_for_training(
    spec: str, max_share: Mapping[str, float] | None = None, unlabelled: str = ""
) -> Manifest:
    """The manifest of a corpus; one that names neither labels nor splits is all for training [D].

    It is an archive whose owner wants an embedding of it, and nothing of it can be evaluated.

    Args:
      spec: What `--corpus` said.
      max_share: Greatest shares of the recordings for kinds of sound.
      unlabelled: Another corpus, whose recordings join as the split `UNLABELLED`, without labels:
        trained on, never scored.
    """
    manifest = cap(registry.load_corpus(spec), max_share or {})
    if not manifest.classes and manifest.splits == ("",):
        manifest = Manifest(manifest.frame.assign(split=TRAIN), manifest.name)
    if not unlabelled:
        return manifest
    if manifest.splits == ("",):
        raise CorpusError(f"{spec}: has no splits, so nothing says what of it is trained on")
    more = cap(registry.load_corpus(unlabelled), max_share or {}).frame
    more = more.assign(
        labels="", split=UNLABELLED, recording_id=f"{UNLABELLED}/" + more["recording_id"]
    )
    both = pd.concat([manifest.frame, more], ignore_index=True)
    return Manifest(both, f"{manifest.name} and {unlabelled}")


def open_files(
    spec: str,
    test_splits: tuple[str, ...],
    config: PrepareConfig,
    max_share: Mapping[str, float] | None = None,
    decoder: str = "libsndfile",
    unlabelled: str = "",
    cache: CacheConfig | None = None,
) -> tuple[Corpus, FileChunks]:
    """Opens a corpus for decoding on the fly: of the sound, nothing is written but the cache.

    Args:
      spec: What `--corpus` said; not a prepared folder.
      test_splits: As in `open_corpus`.
      config: Resampler and the bearable share of bad files.
      max_share: As in `open_corpus`.
      decoder: `libsndfile`, or `in_graph` for tensorflow-io's ops where they work.
      unlabelled: As in `open_corpus`.
      cache: Where decoded sound is kept, if anywhere.

    Returns:
      The corpus (its `folder` is empty), and the pieces of its training side.

    Raises:
      CorpusError: It cannot be found or split, or too many of its files cannot be read.
    """
    manifest = load_for_training(spec, max_share, unlabelled)
    train, held_out = _sides(manifest, test_splits)
    bad_files = BadFiles()
    table = chunks.scan(train, bad_files)
    bad_files.check_share(train.frame["path"].nunique(), config.max_bad_share, manifest.name)
    # The probe says once where tensorflow-io's ops do not work.
    in_graph = graph_decoding.tensorflow_io_works() and decoder == "in_graph"
    kept = None
    if cache is not None and cache.cache_dir:
        kept = decoded_cache.EnergyCache(cache.cache_dir, cache.cache_gigabytes)
    source = FileChunks(
        table,
        bad_files,
        classes=manifest.classes,
        resampler=config.resampler,
        in_graph=graph_decoding.load if in_graph else None,
        cache=kept,
    )
    found = fingerprint(train, config)
    return Corpus(spec, "", manifest, train.splits, held_out, found), source
