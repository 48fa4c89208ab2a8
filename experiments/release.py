"""Trains the released encoder, scores it, and writes it to models/ with its card.

    python -m experiments.release --corpus='debian-sounds:DIR?packages=widest' \
        --score=esc50:DIR --output_dir=runs/out

Trained by experiments/recipes/debian_sounds.py on all recordings of the corpus, without labels,
speech and music capped. Then its last layer is made anew from patches of them, so that the
embedding is read from several layers (audio_triplet/readout.py). The SavedModel is scored on
--score (a corpus that it was not trained on) by the linear probe under its official folds and by
query by example, and copied to models/NAME with its card README.md and `words.npz`, vectors of the
corpus's labelled sounds by word, for `audio-triplet search --word`. A stopped run continues. Vary
with every flag of train_embedding; --init_model=released --recipe=debian_sounds
--learning_rate=1e-3 trains the model that is there for longer.

    python -m experiments.release --corpus='debian-sounds:DIR?packages=widest' \
        --output_dir=runs/out --only_words

makes that table for the model that is there, in some minutes, and --only_readout makes its last
layer anew, with card and table.

Claim (models/debian-sounds/README.md): a probe accuracy of 0.810 and 0.400 per query over the five
folds of ESC-50.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
from typing import TYPE_CHECKING

from absl import flags, logging

from audio_triplet import storage
from audio_triplet.commands import terminal
from audio_triplet.errors import UsageError
from audio_triplet.provenance import provenance
from experiments.lib import model_card, runs, script, shared_flags
from experiments.lib.settings import ExperimentSettings

if TYPE_CHECKING:
    import tensorflow as tf

    from experiments.lib.corpus import Corpus

RECIPE = "debian_sounds"

READOUT_PATCHES = 16_384

_PATCHES_A_VISIT = 4  # of one recording


def define_flags() -> None:
    """Defines the script's flags."""
    shared_flags.define_corpus_flags(recipe=RECIPE)
    shared_flags.define_triplets_flag(RECIPE)
    shared_flags.define_training_flags(recipe=RECIPE)
    shared_flags.define_initial_flags()
    flags.DEFINE_string("name", "debian-sounds", "Name of the model, a folder in --models_dir.")
    flags.DEFINE_string("models_dir", "models", "Folder of the released models.")
    flags.DEFINE_boolean("only_words", False, "Only make words.npz for the model that is there.")
    flags.DEFINE_boolean(
        "only_readout", False, "Only make the last layer of the model that is there anew."
    )
    flags.DEFINE_integer(
        "readout_patches",
        READOUT_PATCHES,
        "Patches of the corpus from which the last layer is made anew; 0: it stays as trained.",
        lower_bound=0,
    )
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
        settings = shared_flags.settings_from_flags()
        trained = path if values.only_readout else ""
        release(settings, values.seed, path, values.score, values.readout_patches, trained)
        try:
            write_words(path, values.corpus)
        except UsageError as error:
            logging.info("%s; the model has no words.npz", error)
    print(f"released: {path}")


def release(
    settings: ExperimentSettings,
    seed: int,
    model_dir: str,
    scored_on: str = "",
    readout_patches: int = READOUT_PATCHES,
    trained: str = "",
) -> str:
    """Trains, makes the last layer anew, scores, and writes the model and its card.

    Args:
      settings: Corpus, folder of the run, and how the encoder is trained.
      seed: Of the run.
      model_dir: The model's folder; an earlier model is replaced at the end.
      scored_on: A corpus with folds to score it on, in a form of --corpus; empty: no scores.
      readout_patches: From so many patches the last layer is made anew; 0: it stays as trained.
      trained: An export to take instead of training.

    Returns:
      The model's folder.

    Raises:
      UsageError: Layers are to be read from that pool over frequencies too.
    """
    from audio_triplet.data import prepared
    from audio_triplet.training import initial

    if readout_patches and not trained and settings.encoder.pooling == "mean":
        raise UsageError(
            "--pooling=mean: its layers cannot be read from after training; give --pooling=time, "
            "or --readout_patches=0"
        )
    os.makedirs(settings.output_dir, exist_ok=True)
    corpus = settings.open_corpus()
    if trained:
        export_dir, metadata = trained, initial.metadata(trained)
    else:
        config = settings.run_config(settings.triplets.constraints, corpus, seed)
        run_dir = os.path.join(settings.output_dir, "run")
        metadata = runs.train(config, corpus.train, run_dir, strategy=settings.build_strategy())
        export_dir = os.path.join(run_dir, "export")
    if readout_patches:
        path = os.path.join(settings.output_dir, "readout")
        metadata = read_from_layers(export_dir, corpus, readout_patches, seed, path)
        export_dir = path
    scores = score(export_dir, scored_on) if scored_on else None
    info = prepared.PreparedInfo.read(corpus.folder)
    hours = sum(info.splits[split].seconds for split in corpus.train_splits) / 3600
    name = os.path.basename(model_dir)
    text = model_card.card(name, metadata, corpus.manifest, hours, scores)
    with storage.replacing(model_dir) as temporary:
        shutil.copytree(export_dir, temporary)
        storage.write_text(os.path.join(temporary, "README.md"), text)
    return model_dir


def read_from_layers(export_dir: str, corpus: Corpus, patches: int, seed: int, path: str) -> dict:
    """Exports a model again, with an embedding that is read from several layers.

    Args:
      export_dir: The model.
      corpus: The unlabelled sound, prepared.
      patches: How many are drawn from it, by recording, as in training.
      seed: Of the draws.
      path: Folder of the new export.

    Returns:
      What its config.json says: as the model's, with `readout`, how this was done.
    """
    import tensorflow as tf

    from audio_triplet import augment, draws, features, readout
    from audio_triplet.embeddings.saved_model import Model
    from audio_triplet.training import initial

    def versions(number: int, energies: tf.Tensor) -> list:
        """The patches as they are, and changed in three ways."""
        changes = (augment.add_noise, augment.limit_band, augment.reverberate)
        changed = (change(energies, (seed, number)) for change in changes)
        return [features.log_mel(part) for part in (energies, *changed)]

    def cut(chunk: dict) -> tf.data.Dataset:
        """Patches as an archive's are cut, some of a chunk."""
        found = features.patches(chunk["mel_energies"][: chunk["frames"]])
        key = tf.stack([tf.constant(seed, tf.int64), chunk["recording"]])
        order = tf.argsort(draws.uniform([tf.shape(found)[0]], key))
        return tf.data.Dataset.from_tensor_slices(tf.gather(found, order[:_PATCHES_A_VISIT]))

    model = Model(export_dir)
    drawn = corpus.train.visits(seed).flat_map(cut).take(patches).batch(64)
    batches = map(versions, itertools.count(), drawn)
    network = initial.describe(export_dir).network
    encoder, network = readout.read_from_layers(model.network, network, batches)
    how = {"patches": patches, "seed": seed, "corpus": corpus.name, "trained": model.digest}
    metadata = model.config | {
        "model": dataclasses.asdict(network) | {"parameters": encoder.count_params()},
        "readout": how | provenance(),
    }
    runs.write_export(encoder, path, metadata)
    return metadata


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
