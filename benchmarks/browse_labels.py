"""What thirty answers are worth: from one example to a classifier, by the steps of `browse`.

    python -m benchmarks.browse_labels --index=ESC50.index

A person is played by the labels of the index, such as one of `esc50:DIR`. For every class a moment
is drawn; searching by it gives the first forty files. Then thirty suggestions are answered, the
surest and the least sure in turn, each time by a classifier that is fitted anew. In the end the
classifier ranks the archive. Prints the share of the first forty files that are of the class,
before and after (answered ones among them), the mean over classes with its 95 % interval (classes
drawn again).
"""

from __future__ import annotations

import json

import numpy as np
from absl import app, flags

from audio_triplet.browse import choosing, learning
from audio_triplet.browse.archive import Archive
from audio_triplet.browse.learning import Background, Examples
from audio_triplet.search.asking import ask
from audio_triplet.search.question import Patches

_FIRST = 40


def of_class(
    archive: Archive, background: Background, is_class: np.ndarray, answers: int, seed: int
) -> tuple[float, float, int]:
    """Answers suggestions for one class.

    Args:
      archive: The index.
      background: Of the archive.
      is_class: bool[moments], the truth.
      answers: How many suggestions are answered.
      seed: Of the first moment.

    Returns:
      The share of the first forty files that are of the class by the first search, and by the
      classifier; and how many answers were yes.
    """
    first = int(np.random.default_rng(seed).choice(np.flatnonzero(is_class)))
    chosen = [first]
    truth = {archive.paths[file] for file in np.unique(archive.file_of[is_class])}
    own = archive.index.recordings_of(archive.moment(first).path)
    patches = Patches.of_vectors(archive.vectors([first]))
    hits = ask(archive.index, [patches], top=_FIRST, without=own, per_recording=1)
    before = np.mean([hit.path in truth for hit in hits])
    free = archive.file_of >= 0
    for step in range(answers + 1):
        free &= archive.file_of != archive.file_of[chosen[-1]]
        examples = Examples.of_moments(
            archive.vectors(chosen), is_class[chosen], archive.recording_of[chosen]
        )
        logits = learning.fit(examples, background).logits(archive.vectors(range(len(archive))))
        if step < answers:
            order = ("surest", "unsure")[step % 2]
            chosen.append(int(choosing.choose(logits, archive.recording_of, free, order, 1)[0]))
    ranked = archive.file_of[np.argsort(-logits, kind="stable")]
    _, places = np.unique(ranked, return_index=True)
    files = ranked[np.sort(places)][:_FIRST]
    after = np.mean([archive.paths[file] in truth for file in files])
    return float(before), float(after), int(is_class[chosen].sum())


def main(argv: list[str]) -> None:
    """Runs the trial."""
    del argv
    values = flags.FLAGS
    archive = Archive(values.index)
    background = Background.of(archive)
    labels = [archive.labels(number) for number in range(len(archive))]
    found = []
    for name in sorted({label for each in labels for label in each})[:: values.every]:
        is_class = np.array([name in each for each in labels]) & (archive.file_of >= 0)
        found.append(of_class(archive, background, is_class, values.answers, values.seed))
    table = np.array(found)
    drawn = np.random.default_rng(0).integers(len(table), size=(1000, len(table)))
    means = table[drawn].mean(axis=1)
    content: dict = {"classes": len(table), "answers": values.answers}
    for column, name in enumerate(("before", "after", "yes")):
        interval = np.quantile(means[:, column], [0.025, 0.975]).round(3).tolist()
        content[name] = {"mean": round(float(table[:, column].mean()), 3), "interval": interval}
    print(json.dumps(content))


if __name__ == "__main__":
    flags.DEFINE_string("index", None, "Folder of an index with labels.", required=True)
    flags.DEFINE_integer("answers", 30, "Suggestions that are answered.")
    flags.DEFINE_integer("every", 1, "Only every n-th class.", 1)
    flags.DEFINE_integer("seed", 0, "Of the first moments.")
    app.run(main)
