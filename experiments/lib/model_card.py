"""The card of a released model: what it is, what it was trained on, its scores and limits."""

from __future__ import annotations

import numpy as np

from audio_triplet.corpora.synthetic import corpus as synthetic
from audio_triplet.data.manifest import Manifest
from experiments.lib import tables
from experiments.lib.fold_scores import SCORES

_LOUDNESS_MATTERS = (
    "Loudness matters: a classifier fitted at one loudness loses much where sound is 20 dB "
    "quieter, and queries find less (`experiments.robustness`). "
)


def card(name: str, metadata: dict, manifest: Manifest, hours: float, scores: dict | None) -> str:
    """The model card, as Markdown.

    Args:
      name: Name of the model.
      metadata: The export's config.json.
      manifest: The corpus it was trained on.
      hours: Its length.
      scores: `corpus`, `folds`, `each` (scores of each fold) and the means of `SCORES`; None if it
        was not scored.
    """
    model = metadata["model"]
    return "\n".join(
        [
            f"# {name}",
            "",
            f"{model['architecture']} of width {model['width']:g}, {model['parameters']:,} "
            "parameters: 0.96 s of sound → a unit vector of "
            f"{model['embedding_size']} numbers, learnt without labels. Sounds that are alike have "
            "vectors that are near each other.",
            "",
            "```python",
            "import tensorflow as tf",
            "",
            f'embed = tf.saved_model.load("models/{name}").signatures["serving_default"]',
            "outputs = embed(waveform=tf.constant(waveform))  # float32[batch, samples], 16 kHz",
            'outputs["segment_embedding"], outputs["patch_embeddings"], outputs["timestamps"]',
            "```",
            "",
            "In Keras, `audio_triplet.load().encoder` is the encoder as a Keras model, to "
            "fine-tune. `keras.layers.TFSMLayer` takes this folder frozen only "
            "(`trainable=False`): Keras cannot name optimizer variables after those of a "
            "SavedModel.",
            "",
            "Beside the SavedModel lie `encoder.tflite`, the encoder for LiteRT, by which searches "
            "start without TensorFlow, and `words.npz`, vectors of the corpus's labelled sounds by "
            "word, for `audio-triplet search --word` (vectors and words alone, no sound).",
            "",
            "## Trained on",
            "",
            *_trained_on(metadata, manifest, hours),
            "## Scores",
            "",
            *_scores(scores),
            "",
            "## Limits",
            "",
            _limits(model),
            "",
        ]
    )


def _trained_on(metadata: dict, manifest: Manifest, hours: float) -> list[str]:
    run = metadata["training"]
    triplets, training = run["triplets"], run["training"]
    kinds = manifest.frame.get("kind", np.full(len(manifest), ""))
    made = np.asarray(kinds == synthetic.KIND)
    by_rule = (
        f" {made.sum():,} of them are made by rule (`--corpus=synthetic:DIR`), the others are"
        if made.any()
        else " They are"
    )
    return [
        f"{manifest.recordings:,} recordings ({len(manifest):,} files, {hours:.1f} h); no label "
        f"was used, draws are by recording.{by_rule} freely licensed sounds of Debian packages.",
        "",
        *_licences(manifest.where(~made)),
        "",
        f"Constraints `{triplets['constraints']}`, objective `{training['objective']}`, "
        f"{training['steps']} steps of {run['pipeline']['batch_size']} pairs, Adam "
        f"{training['learning_rate']:g}, seed {training['seed']}; everything is in "
        "[config.json](config.json).",
        *_began_with(metadata.get("initial_model")),
        "",
        *tables.how_to_repeat(metadata),
        *_read_from_layers(metadata.get("readout")),
    ]


def _read_from_layers(readout: dict | None) -> list[str]:
    """How the last layer was made anew, if it was."""
    if readout is None:
        return []
    return [
        f"Then the last layer of `{readout['trained'][:12]}`, so trained, was made anew from "
        f"{readout['patches']:,} patches of the corpus, as they are, in noise, in rooms and of "
        "narrow bands, without labels or training: so the embedding is read from several layers "
        "(`audio_triplet/readout.py`):",
        "",
        *tables.how_to_repeat(readout),
    ]


def _began_with(initial: dict | None) -> list[str]:
    """What the run began with, and what that began with, as far back as is known."""
    lines = []
    while initial:
        steps = f", {initial['steps_done']} steps" if "steps_done" in initial else ""
        made = " of ".join(filter(None, (initial.get("commit"), initial.get("date"))))
        lines += ["", f"It began with the weights of `{initial['digest'][:12]}` ({made}{steps})."]
        initial = initial.get("initial_model")
    return lines


def _licences(manifest: Manifest) -> list[str]:
    """A table of packages, with files and licences, as far as the manifest knows them."""
    frame = manifest.frame
    if not {"package", "version", "licence"} <= set(frame):
        return []
    lines = tables.heading("package", "version", "files", "licences")
    for (package, version), rows in frame.groupby(["package", "version"]):
        licences = tables.listed(sorted(set(rows["licence"])))
        lines.append(tables.line(package, version, f"{len(rows):,}", licences))
    return lines


def _scores(scores: dict | None) -> list[str]:
    if scores is None:
        return ["Not scored."]
    rows = [*zip(scores["folds"], scores["each"], strict=True), ("**mean**", scores)]
    return [
        f"On `{scores['corpus'].split(':')[0]}`, which it was not trained on; each of "
        f"{len(scores['folds'])} folds tested once, the linear probe fitted on the others "
        "(`experiments.shared_recordings` finds what two corpora have in common; the lab notebook "
        "says what it found):",
        "",
        *tables.heading(
            "",
            "accuracy of the probe",
            "its mAP",
            "per-query mAP",
            "query-by-example mAP (pairs)",
        ),
        *(tables.line(name, *(f"{row[score]:.3f}" for score in SCORES)) for name, row in rows),
    ]


def _limits(model: dict) -> str:
    return (
        "Trained on game sound effects, drums, ambience and some music and speech: short and often "
        "clean recordings. Speech is poorly told apart, music by its timbre alone. Sound above "
        "7.5 kHz is not used. "
        + ("" if model.get("normalize_loudness") else _LOUDNESS_MATTERS)
        + "The network is small, so that it trains on two cores in hours. A model trained on a "
        "small archive of one's own from nothing does worse, one that goes on from a released "
        "model better: from nothing 0.338 per query with two hours and 586 steps "
        "(results/own_archive.md), from the released one 0.430 with one hour and as many, for its "
        "0.393 (results/own_archive_search.md). In noise and by telephone a classifier fitted on "
        "clean sound loses: fit it on sound like the archive's, or predict with `--adapt`. What "
        "changed sound costs is in results/robustness.md, what else there is in results/peers.md."
    )
