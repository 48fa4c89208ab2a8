"""A labelled corpus embedded by a SavedModel, parted into its sides."""

import os

from absl import flags
from tqdm import tqdm

from audio_triplet.corpora import registry
from audio_triplet.errors import UsageError


def define_scored_flags(written: str) -> None:
    """Defines the flags that say what is scored on what, see `embedded_sides`.

    Args:
      written: What the script writes to --output_dir.
    """
    flags.DEFINE_string("model", None, "Folder of a SavedModel.", required=True)
    flags.DEFINE_string("corpus", None, f"The sound: {registry.accepted_forms()}.", required=True)
    flags.DEFINE_string("output_dir", None, f"Folder for {written}.", required=True)
    flags.DEFINE_list(
        "test_splits",
        [],
        "Splits to score; the classifier is trained on the others. By default "
        "test or eval; the last fold; or, without splits, a fifth of the recordings.",
    )
    flags.DEFINE_float("max_bad_share", 0.05, "A greater share of unreadable files stops it.")


def embedded_sides():
    """Embeds both sides of the corpus that the flags name, by the model that they name.

    Files that cannot be read are listed in bad_files.csv in --output_dir.

    Returns:
      The `saved_model.Model`, `protocol.Sides`, names of the corpus' classes, and what a table tells of
      them: model, corpus, test_splits, numbers of segments and of bad_files.
    """
    from audio_triplet.data.bad_files import listed_in
    from audio_triplet.data.splits import train_test
    from audio_triplet.embeddings import saved_model
    from experiments.lib import protocol

    values = flags.FLAGS
    manifest = labelled_manifest(values.corpus)
    model = saved_model.Model(values.model)
    _, test = train_test(manifest, tuple(values.test_splits))
    with listed_in(values.output_dir) as bad_files:
        embeddings = embed_files(model, manifest, bad_files)
    os.makedirs(values.output_dir, exist_ok=True)
    bad_files.check_share(manifest.frame["path"].nunique(), values.max_bad_share, values.corpus)
    sides = protocol.split_sides(embeddings, test.splits)
    told = {
        "test_splits": list(test.splits),
        "segments": {"train": len(sides.train.manifest), "test": len(sides.test.manifest)},
        "bad_files": len(bad_files.entries),
        "model": model.path,
        "corpus": values.corpus,
    }
    return model, sides, manifest.classes, told


def labelled_manifest(spec: str):
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


def embed_files(model, manifest, bad_files):
    """Embeds every segment of a manifest by a SavedModel.

    Args:
      model: An `saved_model.Model`.
      manifest: Segments; splits named "unused" are left out.
      bad_files: Where unreadable files are listed.

    Returns:
      An `EmbeddingSet` of the segments that could be read.
    """
    import numpy as np

    from audio_triplet.data.manifest_csv import UNUSED
    from audio_triplet.embeddings import embed

    wanted = np.flatnonzero((manifest.frame["split"] != UNUSED).to_numpy())
    with tqdm(total=len(wanted), unit="segment", desc="embedding", disable=None) as bar:
        return embed.embed_manifest(model, manifest.take(wanted), None, bad_files, bar.update)
