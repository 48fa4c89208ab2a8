"""Trains the released encoder, scores it, and writes it to models/ with its card.

    python -m experiments.release --corpus='debian-sounds:DIR?packages=widest' \
        --score=esc50:DIR --output_dir=runs/out

Trained by experiments/recipes/debian_sounds.py on all recordings of the corpus, without labels,
speech and music capped. Then the SavedModel is scored on --score (a corpus that it was not trained
on) by the linear probe under its official folds and by query by example, and copied to models/NAME
with its card README.md and `words.npz`, vectors of the corpus's labelled sounds by word, for
`audio-triplet search --word`. A stopped run continues. Vary with every flag of train_embedding;
--init_model=released --recipe=debian_sounds --learning_rate=1e-3 trains the model that is there
for longer.

    python -m experiments.release --corpus='debian-sounds:DIR?packages=widest' \
        --output_dir=runs/out --only_words

makes that table for the model that is there, in some minutes.

Claim (models/debian-sounds/README.md): a probe accuracy of 0.789 and 0.394 per query over the five
folds of ESC-50.
"""

from __future__ import annotations

import os
import shutil

from absl import flags, logging

from audio_triplet import storage
from audio_triplet.commands import terminal
from audio_triplet.errors import UsageError
from experiments.lib import model_card, runs, script, shared_flags
from experiments.lib.settings import ExperimentSettings

RECIPE = "debian_sounds"


def define_flags() -> None:
    """Defines the script's flags."""
    shared_flags.define_corpus_flags(recipe=RECIPE)
    shared_flags.define_triplets_flag(RECIPE)
    shared_flags.define_training_flags(recipe=RECIPE)
    shared_flags.define_initial_flags()
    flags.DEFINE_string("name", "debian-sounds", "Name of the model, a folder in --models_dir.")
    flags.DEFINE_string("models_dir", "models", "Folder of the released models.")
    flags.DEFINE_boolean("only_words", False, "Only make words.npz for the model that is there.")
    flags.DEFINE_string("score", "", "A labelled corpus with folds to score it on.")


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    terminal.set_up_logging()
    values = flags.FLAGS
    path = os.path.join(values.models_dir, values.name)
    with terminal.clear_errors("release"):
        if values.only_words:
            print(f"words: {write_words(path, values.corpus)}")
            return
        release(shared_flags.settings_from_flags(), values.seed, path, values.score)
        try:
            write_words(path, values.corpus)
        except UsageError as error:
            logging.info("%s; the model has no words.npz", error)
    print(f"released: {path}")


def release(settings: ExperimentSettings, seed: int, model_dir: str, scored_on: str = "") -> str:
    """Trains, scores, and writes the model and its card.

    Args:
      settings: Corpus, folder of the run, and how the encoder is trained.
      seed: Of the run.
      model_dir: The model's folder; an earlier model is replaced at the end.
      scored_on: A corpus with folds to score it on, in a form of --corpus; empty: no scores.

    Returns:
      The model's folder.
    """
    from audio_triplet.data import prepared

    os.makedirs(settings.output_dir, exist_ok=True)
    corpus = settings.open_corpus()
    config = settings.run_config(settings.triplets.constraints, corpus, seed)
    run_dir = os.path.join(settings.output_dir, "run")
    metadata = runs.train(config, corpus.train, run_dir, strategy=settings.build_strategy())
    export_dir = os.path.join(run_dir, "export")
    scores = score(export_dir, scored_on) if scored_on else None
    info = prepared.PreparedInfo.read(corpus.folder)
    hours = sum(info.splits[split].seconds for split in corpus.train_splits) / 3600
    name = os.path.basename(model_dir)
    text = model_card.card(name, metadata, corpus.manifest, hours, scores)
    with storage.replacing(model_dir) as temporary:
        shutil.copytree(export_dir, temporary)
        storage.write_text(os.path.join(temporary, "README.md"), text)
    return model_dir


def write_words(model_dir: str, spec: str) -> str:
    """Writes a model's table of words: vectors of labelled sounds.

    Args:
      model_dir: The SavedModel, in whose folder the table is written.
      spec: The corpus of sound files, in a form of --corpus. Of debian-sounds words are classes and
        what files are called, of others the labels.

    Returns:
      The file.

    Raises:
      UsageError: The corpus has no labels.
    """
    from audio_triplet.corpora import registry
    from audio_triplet.embeddings.saved_model import Model
    from audio_triplet.provenance import provenance
    from audio_triplet.search.word_table import WORDS_FILE
    from experiments.lib import word_vectors

    manifest = registry.load_corpus(spec)
    scheme, _, location = spec.partition(":")
    if scheme == "debian-sounds":
        words = word_vectors.words_of_debian_sounds(manifest, location.partition("?")[0])
    else:
        words = [list(filter(None, labels.split(";"))) for labels in manifest.frame["labels"]]
    if not any(words):
        raise UsageError(f"{spec}: has no labels to make words of")
    table = word_vectors.make(Model(model_dir), manifest, words, provenance() | {"corpus": spec})
    path = os.path.join(model_dir, WORDS_FILE)
    table.write(path)
    return path


def score(model_dir: str, spec: str) -> dict:
    """Scores the exported model on a corpus that it was not trained on, each fold tested once.

    Args:
      model_dir: The SavedModel.
      spec: The corpus, with folds.

    Returns:
      `corpus`, `folds`, `each` (the scores of each fold), and the means over folds of
      `probe_accuracy`, `probe_map`, `query_map`, `qbe_map`.

    Raises:
      UsageError: The corpus has no folds.
    """
    from audio_triplet.corpora import registry
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.embeddings import saved_model
    from experiments.lib import fold_scores, scored_corpus

    manifest = registry.load_corpus(spec)
    folds = fold_scores.folds_of(manifest, f"--score={spec}")
    model = saved_model.Model(model_dir)
    embeddings = scored_corpus.embed_files(model, manifest, BadFiles())
    return {"corpus": spec} | fold_scores.score_folds(embeddings, manifest, folds)


if __name__ == "__main__":
    script.start(define_flags, main)
