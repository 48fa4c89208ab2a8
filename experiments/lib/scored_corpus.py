"""A labelled corpus embedded from its sound files by a SavedModel, split into its sides."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from absl import flags

from audio_triplet.commands import config_flags
from audio_triplet.corpora import registry
from audio_triplet.errors import UsageError

if TYPE_CHECKING:
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.embedding_set import EmbeddingSet
    from audio_triplet.embeddings.saved_model import Model
    from experiments.lib.protocol import Sides


@dataclasses.dataclass(frozen=True)
class ScoringSettings:
    """The model, and the corpus that it is scored on.

    Attributes:
      model: Folder of a SavedModel.
      corpus: The sound, as `--corpus` has it.
      output_dir: Output folder.
      test_splits: Splits to score; empty: chosen by `splits.train_test`.
      max_bad_share: A greater share of unreadable files is an error.
      truncated: `refuse` files of which an end is missing, or `use` what is there.
    """

    model: str
    corpus: str
    output_dir: str
    test_splits: tuple[str, ...] = ()
    max_bad_share: float = 0.05
    truncated: str = "refuse"


def define_flags(written: str) -> None:
    """Defines the flags that `settings_from_flags` reads.

    Args:
      written: What the script writes to --output_dir.
    """
    flags.DEFINE_string(
        "model",
        None,
        "Folder of a SavedModel, or one of others: hear:MODULE, tflite:FILE, onnx:FILE.",
        required=True,
    )
    flags.DEFINE_string("corpus", None, f"The sound: {registry.accepted_forms()}.", required=True)
    flags.DEFINE_string("output_dir", None, f"Folder for {written}.", required=True)
    flags.DEFINE_list(
        "test_splits",
        [],
        "Splits to score; the classifier is trained on the others. By default "
        "test or eval; the last fold; or, without splits, a fifth of the recordings.",
    )
    flags.DEFINE_float("max_bad_share", 0.05, "A greater share of unreadable files stops it.")
    config_flags.define_truncated_flag("refuse")


def settings_from_flags() -> ScoringSettings:
    """The settings that the flags give."""
    values = flags.FLAGS
    return ScoringSettings(
        values.model,
        values.corpus,
        values.output_dir,
        tuple(values.test_splits),
        values.max_bad_share,
        values.truncated,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredCorpus:
    """A corpus as a model embeds it.

    Attributes:
      model: The model.
      sides: Embeddings of both sides.
      whole: Embeddings of all labelled segments.
      classes: Names of the labels.
      summary: What a table says of them: test_splits, numbers of segments and of bad_files, model,
        corpus.
    """

    model: Model
    sides: Sides
    whole: EmbeddingSet
    classes: tuple[str, ...]
    summary: dict


def embed_corpus(settings: ScoringSettings) -> ScoredCorpus:
    """Embeds both sides of a corpus by a model.

    Files that cannot be read are listed in bad_files.csv in the output folder.

    Args:
      settings: Corpus and model.

    Raises:
      UsageError: The corpus has no labels.
      CorpusError: It cannot be found or split, or too many of its files cannot be read.
    """
    from audio_triplet.data.bad_files import BadFiles, listed_in
    from audio_triplet.data.splits import train_test
    from audio_triplet.embeddings import other_models
    from experiments.lib import protocol

    manifest = labelled_manifest(settings.corpus)
    model = other_models.open_model(settings.model)
    _, test = train_test(manifest, settings.test_splits)
    with listed_in(settings.output_dir, BadFiles(settings.truncated)) as bad_files:
        embeddings = embed_files(model, manifest, bad_files)
    bad_files.check_share(manifest.frame["path"].nunique(), settings.max_bad_share, settings.corpus)
    sides = protocol.split_sides(embeddings, test.splits)
    summary = {
        "test_splits": list(test.splits),
        "segments": {"train": len(sides.train.manifest), "test": len(sides.test.manifest)},
        "bad_files": len(bad_files.entries),
        "model": model.path,
        "corpus": settings.corpus,
    }
    whole = embeddings.select((embeddings.manifest.frame["labels"] != "").to_numpy())
    return ScoredCorpus(model, sides, whole, manifest.classes, summary)


def labelled_manifest(spec: str) -> Manifest:
    """The manifest of a corpus that can be scored, with its splits.

    Args:
      spec: What --corpus takes.

    Raises:
      UsageError: It has no labels.
    """
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.data.splits import split_by_recording

    if registry.is_prepared(spec):
        manifest = Manifest.read(os.path.join(os.path.expanduser(spec), "manifest.csv"), spec)
    else:
        manifest = split_by_recording(registry.load_corpus(spec))
    if not manifest.classes:
        raise UsageError(f"{spec}: has no labels to score by")
    return manifest


def embed_files(model: Model, manifest: Manifest, bad_files: BadFiles) -> EmbeddingSet:
    """Embeds every segment of a manifest by a SavedModel.

    Args:
      model: The model.
      manifest: Segments; splits named "unused" are left out.
      bad_files: Where unreadable files are listed.

    Returns:
      The segments that could be read.
    """
    import numpy as np
    from tqdm import tqdm

    from audio_triplet.data.manifest_csv import UNUSED
    from audio_triplet.embeddings import embed

    wanted = np.flatnonzero((manifest.frame["split"] != UNUSED).to_numpy())
    with tqdm(total=len(wanted), unit="segment", desc="embedding", disable=None) as bar:
        return embed.embed_manifest(model, manifest.take(wanted), None, bad_files, bar.update)
