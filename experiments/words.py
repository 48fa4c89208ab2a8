"""Searches a labelled corpus by word, beside searches by one clip.

    python -m experiments.words --corpus=esc50:DIR --output_dir=runs/words

Claim (docs/lab_notes.md): of the first ten answers on ESC-50 0.54 are of the class that was asked
for by word, 0.60 where one clip of the class asks, 0.02 by chance (30 classes).

The corpus is indexed by the released model. Each class that the model's table of words knows is
asked for by its word, and by single clips of it; an answer counts if it has the label. One answer
of a recording counts, and the recording of a clip that asks is left out. Written to --output_dir:
words.json, and the index.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from audio_triplet.errors import UsageError
from experiments.lib import kept, script, tables

if TYPE_CHECKING:
    from audio_triplet.search.sound_index import SoundIndex

TOP = 10


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("corpus", None, "Labelled sound, such as esc50:DIR.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder for words.json and the index.", required=True)
    flags.DEFINE_string("model", None, "Folder of a SavedModel with words.npz; None: the released.")
    flags.DEFINE_integer("clips", 10, "Clips of a class that ask, each alone.", lower_bound=1)


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    values = flags.FLAGS
    script.make_table(
        "words",
        values.output_dir,
        lambda: measure(values.corpus, values.output_dir, values.model, values.clips),
        as_markdown,
    )


def measure(spec: str, output_dir: str, model_dir: str | None = None, clips: int = 10) -> dict:
    """Asks for each class by its word and by its clips, and writes words.json.

    Args:
      spec: The corpus, in a form of --corpus.
      output_dir: Where the index and words.json are.
      model_dir: A SavedModel with its table of words; None: the released one.
      clips: Clips of a class that ask, each alone.

    Returns:
      `rows`: for each class `label`, `word` (precision of the first ten), `clip` (its mean over
      clips), `vectors` of the word and the recordings they are of; their means, and provenance.

    Raises:
      UsageError: The table knows none of the classes.
    """
    from audio_triplet.corpora import registry
    from audio_triplet.embeddings.model_files import released_model_path
    from audio_triplet.provenance import provenance
    from audio_triplet.search import words
    from audio_triplet.search.word_table import WordTable

    model_dir = model_dir or released_model_path()
    table = WordTable.read(model_dir)
    manifest = registry.load_corpus(spec)
    known = {label: words.matching(label, table.vectors) for label in manifest.classes}
    known = {label: found for label, found in known.items() if found}
    if not known:
        raise UsageError(f"{spec}: the words of {model_dir} are none of its labels")
    index = _indexed(manifest, os.path.join(output_dir, "index"), model_dir)
    frame, rows = manifest.frame, []
    for label, found in known.items():
        paths = frame["path"][frame["labels"] == label].to_numpy(str)
        paths = paths[np.linspace(0, len(paths) - 1, min(clips, len(paths))).astype(int)]
        each = [by for path in paths if (by := _by_clip(index, path, label)) is not None]
        rows.append(
            {
                "label": label,
                "word": _precision(index.find(None, TOP, **_alike(label, model_dir)), label),
                "clip": float(np.mean(each)),
                "vectors": sum(len(table.vectors[word]) for word in found),
                "recordings": sum(table.recordings[word] for word in found),
            }
        )
    means = {name: float(np.mean([row[name] for row in rows])) for name in ("word", "clip")}
    chance = float(np.mean([(frame["labels"] == row["label"]).mean() for row in rows]))
    result = {"corpus": spec, "rows": rows, "mean": means, "chance": chance, **provenance()}
    kept.write_json(os.path.join(output_dir, "words.json"), result)
    return result


def _alike(label: str, model_dir: str) -> dict:
    return {"word": label, "words_from": model_dir, "per_recording": 1}


def _by_clip(index: SoundIndex, path: str, label: str) -> float | None:
    """The precision of a clip that asks; None if it cannot, being silent or damaged."""
    from audio_triplet.errors import AudioError

    try:
        return _precision(index.find(path, TOP, per_recording=1), label)
    except AudioError:
        return None


def _precision(hits: list, label: str) -> float:
    """The share of answers that have a label, of as many as were asked for."""
    return sum(label in hit.labels for hit in hits) / TOP


def _indexed(manifest, folder: str, model_dir: str) -> SoundIndex:
    """The index of a corpus; what it holds already stays."""
    from audio_triplet.config import EmbedConfig
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.embeddings.saved_model import Model
    from audio_triplet.search.adding import add_files
    from audio_triplet.search.index_writer import Writer
    from audio_triplet.search.sound_index import SoundIndex

    model, config = Model(model_dir), EmbedConfig()
    with Writer(
        folder,
        model=model.path,
        model_digest=model.digest,
        dim=model.embedding_size,
        granularity=config.granularity,
        hop_seconds=config.hop_seconds,
    ) as writer:
        add_files(writer, model, manifest, config, BadFiles())
    return SoundIndex(folder, model_dir)


def as_markdown(result: dict) -> str:
    """The result as a table, best words first."""
    rows = sorted(result["rows"], key=lambda row: -row["word"])
    return "\n".join(
        [
            *tables.heading("class", "by its word", "by one clip", "vectors", "of recordings"),
            *(
                tables.line(
                    row["label"],
                    f"{row['word']:.2f}",
                    f"{row['clip']:.2f}",
                    str(row["vectors"]),
                    str(row["recordings"]),
                )
                for row in rows
            ),
            tables.line(
                f"**mean of {len(rows)}** (chance {result['chance']:.2f})",
                f"{result['mean']['word']:.2f}",
                f"{result['mean']['clip']:.2f}",
                "",
                "",
            ),
        ]
    )


if __name__ == "__main__":
    script.start(define_flags, main)
