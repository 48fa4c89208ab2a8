"""Opening `--corpus` for an experiment: split into training and test side, ready to read."""

import dataclasses
import os
from collections.abc import Mapping

import pandas as pd
from absl import logging

from audio_triplet import storage
from audio_triplet.audio import graph_decoding
from audio_triplet.config import CacheConfig, PrepareConfig
from audio_triplet.corpora import registry
from audio_triplet.data import chunks, decoded_cache, prepared, shard_source, sources
from audio_triplet.data.bad_files import BAD_FILES, BadFiles
from audio_triplet.data.file_source import FileChunks
from audio_triplet.data.manifest import Manifest
from audio_triplet.data.manifest_csv import TRAIN, UNLABELLED, UNUSED
from audio_triplet.data.splits import cap, train_test
from audio_triplet.errors import CorpusError
from data_prep.preparation import prepare

# As --test_splits: nothing is held out.
NONE = "none"


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A corpus that is ready for training and evaluation.

    Attributes:
      name: The value of `--corpus`.
      folder: The prepared folder; empty if sound files are decoded while training.
      manifest: All its segments; `segment` of a chunk is a row of it.
      train_splits: Splits to train on.
      test_splits: Splits to evaluate on.
      fingerprint: Digest of the corpus.
      skip_damaged: Whether to skip damaged shards.
      files: The training side's sound files, if they are decoded while training.
    """

    name: str
    folder: str
    manifest: Manifest
    train_splits: tuple[str, ...]
    test_splits: tuple[str, ...]
    fingerprint: str
    skip_damaged: bool = False
    files: FileChunks | None = None

    @property
    def train(self) -> sources.ChunkSource:
        """Chunks of the training side."""
        return self._shards(self.train_splits) if self.files is None else self.files

    @property
    def everything(self) -> shard_source.ShardChunks:
        """Chunks of both sides, of a prepared corpus."""
        return self._shards(self.train_splits + self.test_splits)

    def _shards(self, splits: tuple[str, ...]) -> shard_source.ShardChunks:
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
        """The same prepared corpus with other splits to test on, all others to train on.

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
    *,
    skip_damaged: bool = False,
    decoder: str = "",
    cache: CacheConfig | None = None,
) -> Corpus:
    """Opens a corpus, prepared or decoded while training, and assigns its splits to the sides.

    Args:
      spec: What `--corpus` said.
      prepared_dir: Where to prepare it, unless it is prepared or `decoder` is given.
      test_splits: Splits to test on; chosen by `splits.train_test` if empty; `NONE`: everything
        is trained on.
      config: How to prepare; without preparing, resampler and the allowed share of bad files.
      max_share: Greatest shares of the recordings for kinds of sound, see `splits.cap`.
      unlabelled: Another corpus to train on too, see `load_for_training`.
      skip_damaged: Whether to skip damaged shards.
      decoder: What decodes sound files while training, so that nothing is prepared: `libsndfile`,
        or `in_graph` for tensorflow-io's ops where they work. Empty: shards are read.
      cache: Keeps sound decoded by libsndfile; None: nothing is kept.

    Returns:
      The corpus.

    Raises:
      CorpusError: It cannot be found, prepared or split, or too many of its files cannot be read.
    """
    config = config or PrepareConfig()
    if decoder:
        manifest = load_for_training(spec, max_share, unlabelled)
        train, held_out = _sides(manifest, test_splits)
        files = _open_files(train, manifest.classes, config, decoder, cache)
        fingerprint = prepared.fingerprint(train, config)
        return Corpus(spec, "", manifest, train.splits, held_out, fingerprint, files=files)
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
            storage.join(folder, BAD_FILES),
        )
    train, held_out = _sides(manifest, test_splits)
    return Corpus(spec, folder, manifest, train.splits, held_out, info.fingerprint, skip_damaged)


def _open_files(
    train: Manifest,
    classes: tuple[str, ...],
    config: PrepareConfig,
    decoder: str,
    cache: CacheConfig | None,
) -> FileChunks:
    """The chunks of sound files, to be decoded as they are read."""
    bad_files = BadFiles(config.truncated)
    table = chunks.scan(train, bad_files)
    bad_files.check_share(train.frame["path"].nunique(), config.max_bad_share, train.name)
    # The probe says once where tensorflow-io's ops do not work.
    in_graph = graph_decoding.tensorflow_io_works() and decoder == "in_graph"
    kept = None
    if cache is not None and cache.cache_dir:
        kept = decoded_cache.EnergyCache(cache.cache_dir, cache.cache_gigabytes)
    return FileChunks(
        table,
        bad_files,
        classes=classes,
        resampler=config.resampler,
        in_graph=graph_decoding.load if in_graph else None,
        cache=kept,
    )


def _sides(manifest: Manifest, test_splits: tuple[str, ...]) -> tuple[Manifest, tuple[str, ...]]:
    """The part to train on, and the splits to test on."""
    if manifest.splits == (TRAIN,) or test_splits == (NONE,):
        return manifest.select([split for split in manifest.splits if split != UNUSED]), ()
    train, test = train_test(manifest, test_splits)
    return train, test.splits


def load_for_training(
    spec: str, max_share: Mapping[str, float] | None = None, unlabelled: str = ""
) -> Manifest:
    """The manifest of a corpus; one without labels and splits is all for training [D].

    Such a corpus is an archive whose owner wants an embedding of it; nothing can be evaluated.

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
        raise CorpusError(
            f"{spec}: has no splits that tell what to train on; fill the column split"
        )
    more = cap(registry.load_corpus(unlabelled), max_share or {}).frame
    more = more.assign(
        labels="", split=UNLABELLED, recording_id=f"{UNLABELLED}/" + more["recording_id"]
    )
    both = pd.concat([manifest.frame, more], ignore_index=True)
    return Manifest(both, f"{manifest.name} and {unlabelled}")
