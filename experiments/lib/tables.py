"""What the tables share: checked rows, scores that are kept, means, and files written whole."""

import json
import math
import os
from collections.abc import Callable, Sequence

from absl import flags

from audio_triplet import locks, storage
from audio_triplet.commands import terminal
from audio_triplet.errors import UsageError


def run_command(
    program: str, make_table: Callable[[], dict], markdown: Callable[[dict], str]
) -> None:
    """Makes a table as the only writer of --output_dir, and prints it; errors are one line.

    Args:
      program: Name of the script.
      make_table: Trains and scores what is missing, writes the table and returns its content.
      markdown: That content as Markdown.
    """
    terminal.quiet_tensorflow()
    with terminal.clear_errors(program), locks.exclusive(flags.FLAGS.output_dir):
        table = make_table()
    print(markdown(table))
    print(f"written to {flags.FLAGS.output_dir}")


def define_scoring_flags() -> None:
    """Defines the flags of every script that scores embeddings it has saved."""
    flags.DEFINE_boolean(
        "rescore",
        False,
        "Score the saved embeddings again, whatever was scored before, and train "
        "nothing: a missing embedding is an error.",
    )


def check_rows(given: Sequence[str], known: Sequence[str]) -> None:
    """Raises UsageError unless --rows names known rows, each once."""
    unknown = [row for row in given if row not in known]
    if unknown:
        raise UsageError(f"--rows: {', '.join(unknown)} unknown; choose from {', '.join(known)}")
    if len(set(given)) < len(given) or not given:
        raise UsageError(f"--rows={','.join(given)}: name each row once, and one at least")


def numbers(flag: str, least: int) -> list[int]:
    """A list flag as different whole numbers, ascending.

    Raises:
      UsageError: It is something else.
    """
    given = flags.FLAGS[flag].value
    try:
        found = sorted({int(number) for number in given})
    except ValueError:
        found = []
    if not found or found[0] < least:
        raise UsageError(
            f"--{flag}={','.join(given)}: write whole numbers of {least} or more, as 1,2,5"
        )
    return found


def as_read(settings: dict) -> dict:
    """Settings as they will be read back from JSON (tuples are lists there)."""
    return json.loads(json.dumps(settings))


def read_json(path: str) -> dict | None:
    """The content of a JSON file, None if it is not there.

    Raises:
      UsageError: It is damaged.
    """
    if not os.path.exists(path):
        return None
    try:
        return storage.read_json(path)
    except ValueError as error:
        raise UsageError(f"{path}: is damaged ({error}); delete it") from error


def write_json(path: str, content: dict) -> None:
    """Writes a JSON file, whole or not at all, and its folder if need be."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    storage.write_json(path, content)


def read_scores(path: str, settings: dict) -> dict | None:
    """Scores that were kept, unless there are none or they are of other settings."""
    earlier = read_json(path)
    if earlier and earlier["settings"] == as_read(settings):
        return earlier["scores"]
    return None


def write_scores(path: str, settings: dict, scores: dict) -> None:
    """Keeps scores for `read_scores`."""
    write_json(path, {"settings": settings, "scores": scores})


def write(path: str, table: dict, markdown: str, draw: Callable[[dict, str], None]) -> None:
    """Writes a table as PATH.json, PATH.md and PATH.png, each whole or not at all.

    Args:
      path: Without extension.
      table: The content of the JSON file.
      markdown: That of the Markdown file.
      draw: Draws the table into a PNG file of the given name.
    """
    write_json(f"{path}.json", table)
    storage.write_text(f"{path}.md", markdown)
    draw(table, f"{path}.png")


def training_in_words(run: dict, topline_rate: float | None = None) -> str:
    """How encoders were trained, as tables tell it.

    Args:
      run: Of a table's `config`, see `train_embedding.told`.
      topline_rate: The explicit-label topline's learning rate where it differs.

    Returns:
      Such as `600 steps of 64 triplets, vggish of width 0.25 to 128 dimensions, Adam 0.001,
      float32`.
    """
    topline = f" (topline {topline_rate:g})" if topline_rate else ""
    return (
        f"{run['training']['steps']} steps of {run['pipeline']['batch_size']} triplets, "
        f"{run['encoder']['architecture']} of width {run['encoder']['width']:g} to "
        f"{run['encoder']['embedding_size']} dimensions, Adam "
        f"{run['training']['learning_rate']:g}{topline}, {run['precision']}"
    )


def pyplot():
    """matplotlib.pyplot, for files only."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    return plt


def save_figure(figure, path: str) -> None:
    """Writes a figure, whole or not at all, and closes it."""
    with storage.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
    pyplot().close(figure)


def mean(values) -> float | None:
    """Mean of what is not None; None if nothing is left."""
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None


def deviation(values) -> float | None:
    """Standard deviation (n - 1) of what is not None; None for fewer than two."""
    values = [value for value in values if value is not None]
    if len(values) < 2:
        return None
    centre = sum(values) / len(values)
    return math.sqrt(sum((value - centre) ** 2 for value in values) / (len(values) - 1))


def cell(value: float | None, spread: float | None = None, percent: bool = False) -> str:
    """A number as a table shows it, with its spread if there is one."""
    if value is None:
        return "–"
    text = f"{round(100 * value)} %" if percent else f"{value:.3f}"
    return text + (f" ± {spread:.3f}" if spread is not None else "")


def origin(config: dict, more: str = "") -> str:
    """One line of Markdown: commit, date, time, machine and versions of a table's `config`."""
    return (
        f"Commit {config['commit']}, {config['date']}, {config['seconds']} s{more} on "
        f"{config['machine']}; "
        + ", ".join(f"{name} {version}" for name, version in config["versions"].items())
        + "."
    )
