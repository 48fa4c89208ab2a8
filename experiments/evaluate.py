"""Scores a SavedModel on a corpus: query by example, and a classifier on its frozen embeddings.

    python -m experiments.evaluate --model=runs/mine/export --corpus=esc50:DIR --output_dir=scores

The model hears the sound files themselves; it needs not have been trained on this corpus. Written
to --output_dir: metrics.json.
"""

import json
import os

from absl import app, flags
from tqdm import tqdm

from audio_triplet import cli
from data_prep import corpora


def define_flags() -> None:
    """Defines the script's flags."""
    define_scored_flags("metrics.json")
    flags.DEFINE_integer("seed", 0, "Seed of the classifier.")


def define_scored_flags(written: str) -> None:
    """Defines the flags that say what is scored on what, see `embedded_sides`.

    Args:
      written: What the script writes to --output_dir.
    """
    flags.DEFINE_string("model", None, "Folder of a SavedModel.", required=True)
    flags.DEFINE_string("corpus", None, f"The sound: {corpora.accepted_forms()}.", required=True)
    flags.DEFINE_string("output_dir", None, f"Folder for {written}.", required=True)
    flags.DEFINE_list(
        "test_splits", [], "Splits to score; the classifier is trained on the others. By default "
        "test or eval; the last fold; or, without splits, a fifth of the recordings."
    )
    flags.DEFINE_float("max_bad_share", 0.05, "A greater share of unreadable files stops it.")


def main(argv):
    """Runs the command."""
    del argv
    cli.quiet_tensorflow()
    with cli.clear_errors("evaluate"):
        metrics = evaluate()
    print(
        f"query by example mAP {metrics['qbe_map']:.4f}, per-query mAP {metrics['query_map']:.4f}, "
        f"classification mAP {metrics['cls_map']:.4f}"
        + "".join(
            f", {name} {metrics[key]:.4f}"
            for key, name in (("roc_auc", "ROC AUC"), ("d_prime", "d′"), ("accuracy", "accuracy"))
            if metrics[key] is not None
        )
    )


def evaluate() -> dict:
    """Embeds both sides of the corpus, scores, and writes metrics.json.

    Returns:
      Its content.
    """
    from audio_triplet import storage
    from audio_triplet.evaluation.classification import ClassifierConfig
    from experiments import scoring
    from experiments.provenance import provenance

    values = flags.FLAGS
    _, sides, classes, told = embedded_sides()
    scores = scoring.score(sides, classes, ClassifierConfig(seed=values.seed))
    metrics = scores | told | provenance()
    path = os.path.join(values.output_dir, "metrics.json")
    storage.write_whole(path, json.dumps(metrics, indent=1, ensure_ascii=False))
    return metrics


def embedded_sides():
    """Embeds both sides of the corpus that the flags name, by the model that they name.

    Files that cannot be read are listed in bad_files.csv in --output_dir.

    Returns:
      The `export.Model`, `scoring.Sides`, names of the corpus' classes, and what a table tells of
      them: model, corpus, test_splits, numbers of segments and of bad_files.
    """
    from audio_triplet import export, piece_table
    from audio_triplet.manifest import train_test
    from experiments import scoring

    values = flags.FLAGS
    manifest = labelled_manifest(values.corpus)
    model = export.Model(values.model)
    _, test = train_test(manifest, tuple(values.test_splits))
    bad_files = piece_table.BadFiles()
    embeddings = embed_files(model, manifest, bad_files)
    os.makedirs(values.output_dir, exist_ok=True)
    if bad_files.entries:
        bad_files.write(os.path.join(values.output_dir, "bad_files.csv"))
    bad_files.check_share(
        manifest.frame["path"].nunique(), values.max_bad_share, values.corpus
    )
    sides = scoring.split_sides(embeddings, test.splits)
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
    from audio_triplet.manifest import Manifest, split_by_recording

    if corpora.is_prepared(spec):
        manifest = Manifest.read(os.path.join(os.path.expanduser(spec), "manifest.csv"), spec)
    else:
        manifest = split_by_recording(corpora.load_corpus(spec))
    if not manifest.classes:
        raise cli.UsageError(f"{spec}: has no labels to score by")
    return manifest


def embed_files(model, manifest, bad_files):
    """Embeds every segment of a manifest by a SavedModel.

    Args:
      model: An `export.Model`.
      manifest: Segments; splits named "unused" are left out.
      bad_files: Where unreadable files are listed.

    Returns:
      SegmentEmbeddings of the segments that could be read.
    """
    import numpy as np

    from audio_triplet import archive
    from audio_triplet.embedding import SegmentEmbeddings
    from audio_triplet.manifest import UNUSED, CorpusError

    wanted = np.flatnonzero((manifest.frame["split"] != UNUSED).to_numpy())
    found = []
    with tqdm(total=len(wanted), unit="segment", desc="embedding", disable=None) as bar:
        for one in archive.embed(model, manifest.take(wanted), bad_files=bad_files):
            found.append(one)
            bar.update()
    if not found:
        raise CorpusError(f"{manifest.name}: not one segment could be read")
    found.sort(key=lambda one: one.row)
    row = wanted[[one.row for one in found]]
    return SegmentEmbeddings(
        manifest=manifest.take(row),
        row=row,
        patch=np.concatenate([one.vectors for one in found]),
        patch_segment=np.repeat(
            np.arange(len(found), dtype=np.int32), [len(one.vectors) for one in found]
        ),
        patch_energy=np.concatenate([one.energy for one in found]),
    )


def run() -> None:
    """Entry point of the command."""
    define_flags()
    app.run(main)


if __name__ == "__main__":
    run()
