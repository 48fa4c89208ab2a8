"""Scores a SavedModel on sound that is louder or quieter than what its probe was fitted on.

    python -m experiments.levels --model=models/debian-sounds --corpus=esc50:DIR --output_dir=scores

People's recordings come at any level; the log offset of the front end and the encoder's habits
make an embedding depend on it. The probe is fitted on the training side as it is, and told from the
test side at each level. Retrieval ranks the test side at that level; in the row `mixed` each
recording has a level of its own, drawn from those of --decibels and 0. Written: levels.json,
levels.md.
"""

import os

from absl import app, flags

from audio_triplet.commands import terminal
from audio_triplet.errors import UsageError
from experiments.lib import scored_corpus

SCORES = ("probe_accuracy", "probe_map", "query_map")
MIXED = "mixed"


def define_flags() -> None:
    """Defines the script's flags."""
    scored_corpus.define_scored_flags("levels.json and levels.md")
    flags.DEFINE_list("decibels", ["-40", "-30", "-20", "-10", "10"], "Changes of level to try.")


def main(argv):
    """Runs the command."""
    del argv
    terminal.quiet_tensorflow()
    with terminal.clear_errors("levels"):
        table = make_table()
    print(markdown(table))


def make_table() -> dict:
    """Embeds the test side at each level, scores it, and writes the table.

    Returns:
      Content of levels.json.
    """
    import numpy as np

    from audio_triplet import storage
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.data.manifest import key_of
    from audio_triplet.evaluation import probe
    from audio_triplet.provenance import provenance
    from experiments.lib import protocol

    values, told = flags.FLAGS, provenance()
    try:
        decibels = [0.0, *(float(text) for text in values.decibels)]
    except ValueError as error:
        raise UsageError(f"--decibels: {error}; write numbers, as -20,10") from error
    if len(set(decibels)) < len(decibels) or not np.isfinite(decibels).all():
        raise UsageError("--decibels: name each finite level once; 0 is always there")
    model, sides, classes, scored = scored_corpus.embedded_sides()
    labels = sides.train.manifest.label_matrix(classes)
    fitted = probe.fit_probe(sides.train.segment_means, labels, protocol.recordings(sides.train))

    def row(name, segment, truth) -> dict:
        found = protocol.retrieval_scores(segment, sides, classes)
        found |= protocol.told_scores(fitted, segment, sides, classes)
        # Means of unit vectors are not unit vectors.
        norms = np.linalg.norm(segment, axis=1) * np.linalg.norm(truth, axis=1)
        cosine = float(np.mean(np.sum(segment * truth, axis=1) / np.maximum(norms, 1e-12)))
        return {"name": name, **{score: found[score] for score in SCORES}, "cosine": cosine}

    segments, bad_files = [sides.test.segment_means], BadFiles()
    for decibel in decibels[1:]:
        gain = 10 ** (decibel / 20)
        heard = scored_corpus.embed_files(_Louder(model, gain), sides.test.manifest, bad_files)
        if len(heard.manifest) != len(sides.test.manifest):
            raise UsageError(f"{values.corpus}: files went bad while they were read; try again")
        segments.append(heard.segment_means)
    rows = [
        row(f"{decibel:+g} dB" if decibel else "as it is", segment, segments[0])
        for decibel, segment in sorted(zip(decibels, segments, strict=True), key=lambda x: x[0])
    ]
    drawn = [key_of(name, MIXED) % len(decibels) for name in protocol.recordings(sides.test)]
    mixed = np.stack(segments)[drawn, np.arange(len(drawn))]
    rows.append(row(MIXED, mixed, segments[0]))
    table = {"rows": rows, "config": scored | told}
    storage.write_json(os.path.join(values.output_dir, "levels.json"), table)
    storage.write_text(os.path.join(values.output_dir, "levels.md"), markdown(table))
    return table


class _Louder:
    """A model that hears everything louder."""

    def __init__(self, model, gain: float):
        self._model, self._gain = model, gain

    def __call__(self, waveform) -> dict:
        return self._model(waveform * self._gain)


def markdown(table: dict) -> str:
    """The table as Markdown."""
    config = table["config"]
    lines = [
        "| test side | probe accuracy | probe mAP | per-query mAP | cosine to as it is |",
        "|---|---|---|---|---|",
    ]
    for row in table["rows"]:
        cells = ("–" if row[name] is None else f"{row[name]:.3f}" for name in (*SCORES, "cosine"))
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"{config['model']} on {config['corpus']}, tested on {', '.join(config['test_splits'])} "
        f"({config['segments']['test']} segments); the probe was fitted on the other "
        f"{config['segments']['train']} as they are. In the last row each recording has one of "
        "these levels.",
        "",
        f"    {config['command']}",
        "",
        f"Commit {config['commit']}, {config['date']}, {config['machine']}.",
        "",
    ]
    return "\n".join(lines)


def run() -> None:
    """Entry point of the command."""
    define_flags()
    app.run(main)


if __name__ == "__main__":
    run()
