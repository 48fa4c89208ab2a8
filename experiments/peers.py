"""The released model beside what a user could take instead: scores, speed and size in one run.

    python -m experiments.peers --corpus=esc50:DIR --output_dir=scores \
        --models='models/debian-sounds,log_mel,mfcc,random,tflite:BirdNET.tflite'

Claim (results/peers.md): what it says of ESC-50. Each of --models embeds the corpus from its files,
one after the other, on this machine; each fold is tested once, the linear probe fitted on the
others, retrieval within the fold by the cosine of the means over a segment's windows. `log_mel`
(mean and deviation of our bands), `mfcc` (of 20 coefficients) and `random` (our network, never
trained) need nothing; others go through the door that docs/other_models.md describes, and one that
is not installed is left out with a line. What was kept in --output_dir is not made again. Written:
peers.json, peers.md.
"""

from __future__ import annotations

import hashlib
import os
import time

from absl import flags, logging

from audio_triplet import storage
from audio_triplet.errors import ExportError, UsageError
from experiments.lib import kept, script, tables

MODELS = ("models/debian-sounds", "log_mel", "mfcc", "random")


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string(
        "corpus", None, "A labelled corpus with folds, as esc50:DIR.", required=True
    )
    flags.DEFINE_string("output_dir", None, "Folder for peers.json and peers.md.", required=True)
    flags.DEFINE_list("models", list(MODELS), "Models, in the order of the table.")


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    values = flags.FLAGS
    script.make_table(
        "peers",
        values.output_dir,
        lambda: make_table(values.corpus, values.output_dir, values.models),
        markdown,
    )


def make_table(corpus: str, output_dir: str, models: list[str]) -> dict:
    """Scores each model and writes the table.

    Args:
      corpus: A labelled corpus with folds.
      output_dir: Where to write.
      models: Folders, `log_mel`, `mfcc`, `random`, or models of others.

    Returns:
      Content of peers.json.

    Raises:
      UsageError: The corpus has no folds, or no model could be opened.
    """
    from audio_triplet.corpora import registry
    from audio_triplet.provenance import provenance
    from experiments.lib import fold_scores

    made_by = provenance()
    manifest = registry.load_corpus(corpus)
    folds = fold_scores.folds_of(manifest, f"--corpus={corpus}")
    os.makedirs(output_dir, exist_ok=True)
    rows = []
    for name in models:
        try:
            model = open_model(name)
        except ExportError as error:
            logging.warning("left out: %s", error)
            continue
        # One command may go on where another, with a model more, was stopped.
        key = hashlib.sha256(f"{model.digest}\0{corpus}".encode()).hexdigest()[:12]
        path = os.path.join(output_dir, "peers", f"{key}.json")
        row = kept.read_json(path)
        if row is None:
            row = score(model, manifest, folds)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            kept.write_json(path, row)
        rows.append({"name": name} | row)
    if not rows:
        raise UsageError(f"--models={','.join(models)}: none of them could be opened, see above")
    table = {"rows": rows, "config": {"corpus": corpus, "segments": len(manifest)} | made_by}
    kept.write_json(os.path.join(output_dir, "peers.json"), table)
    storage.write_text(os.path.join(output_dir, "peers.md"), markdown(table))
    return table


def open_model(name: str):
    """One of `--models`.

    Raises:
      ExportError: It is not installed, or cannot be opened.
    """
    from audio_triplet.embeddings import other_models
    from experiments.lib.peers import baselines

    is_baseline = name in baselines.BASELINES
    return baselines.open_baseline(name) if is_baseline else other_models.open_model(name)


def score(model, manifest, folds: list[str]) -> dict:
    """A model's scores, its vectors' size, and what embedding the corpus took."""
    from audio_triplet.data.bad_files import BadFiles
    from experiments.lib import fold_scores, scored_corpus

    bad_files = BadFiles()
    began, used = time.monotonic(), time.process_time()
    embeddings = scored_corpus.embed_files(model, manifest, bad_files)
    seconds, processor = time.monotonic() - began, time.process_time() - used
    hours = float((embeddings.end_seconds - embeddings.start_seconds).sum()) / 3600
    found = fold_scores.score_folds(embeddings, manifest, folds)
    return {
        "dimensions": int(embeddings.vectors.shape[1]),
        "hours_a_minute": 60 * hours / seconds,
        "hours_a_processor_minute": 60 * hours / processor,
        "bad_files": len(bad_files.entries),
        **found,
    }


def markdown(table: dict) -> str:
    """The table as Markdown."""
    lines = tables.heading(
        "model",
        "dimensions",
        "probe accuracy",
        "per query",
        "hours of windows a minute",
        "… a processor minute",
    )
    for row in table["rows"]:
        scores = (f"{row[name]:.3f}" for name in ("probe_accuracy", "query_map"))
        speeds = (f"{row[name]:.1f}" for name in ("hours_a_minute", "hours_a_processor_minute"))
        lines.append(tables.line(row["name"], str(row["dimensions"]), *scores, *speeds))
    config = table["config"]
    folds = len(table["rows"][0]["folds"])
    lines += [
        "",
        f"{config['corpus']}, {config['segments']} segments, {folds} folds, each tested once.",
        "",
        *tables.how_to_repeat(config),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    script.start(define_flags, main)
