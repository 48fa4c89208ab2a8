"""What it costs an embedding that a device holds the corpus in 8 bits: cosines and scores.

    python -m benchmarks.resident_bits --corpus=PREPARED --model=models/debian-sounds

The same patches of a prepared, labelled corpus with folds, as its shards have them and as
`--feed=resident8` has them, by one model. Each fold is tested once, the probe fitted on the others.
"""

from absl import flags

from audio_triplet.commands import terminal
from experiments.lib import script


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("corpus", None, "A prepared folder.", required=True)
    flags.DEFINE_string("model", None, "Folder of a SavedModel.", required=True)


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    terminal.set_up_logging()
    with terminal.clear_errors("resident_bits"):
        print(measure(flags.FLAGS.corpus, flags.FLAGS.model))


def measure(folder: str, model_path: str) -> str:
    """The table, as Markdown."""
    import numpy as np
    import tensorflow as tf

    from audio_triplet.data import resident
    from audio_triplet.embeddings import embed, saved_model
    from experiments.lib import corpus as corpora
    from experiments.lib import fold_scores

    corpus = corpora.open_corpus(folder, "", (corpora.NONE,))
    shards = resident.shards_of(corpus.everything)
    energies = resident.read_energies(shards.index, shards.files)
    stored = resident.quantise(energies)
    step, silence = float(stored["log_mel_step"]), float(np.log(0.01))
    model = saved_model.Model(model_path)

    def in_8_bits(log_mel):
        return model.encode(silence + step * tf.round((log_mel - silence) / step))

    ways = {"float16, as the shards": model.encode, f"8 bits, {step:.4f} nepers a step": in_8_bits}
    sets = {
        name: embed.embed_shards(corpus.everything, corpus.manifest, way)
        for name, way in ways.items()
    }
    whole = next(iter(sets.values())).vectors
    lines = [
        "| corpus | least, mean cosine of a patch | probe accuracy | per query |",
        "|---|---|---|---|",
    ]
    for name, found in sets.items():
        cosines = np.sum(found.vectors * whole, axis=1)
        scores = fold_scores.score_folds(found, corpus.manifest, list(corpus.folds))
        probe, query = scores["probe_accuracy"], scores["query_map"]
        lines.append(
            f"| {name} | {cosines.min():.5f}, {cosines.mean():.6f} | {probe:.4f} | {query:.4f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    script.start(define_flags, main)
