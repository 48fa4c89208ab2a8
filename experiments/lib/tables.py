"""Shared by the tables: their provenance, their files, and their cells in Markdown."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from audio_triplet import storage
from experiments.lib import kept

if TYPE_CHECKING:
    from experiments.lib.corpus import Corpus


@dataclasses.dataclass(frozen=True)
class Making:
    """The making of a table: when it began, and by which command, commit and machine.

    Attributes:
      provenance: See `audio_triplet.provenance.provenance`.
      started: Of `time.monotonic`.
    """

    provenance: dict
    started: float

    @classmethod
    def begin(cls, output_dir: str) -> Making:
        """Begins a table; makes its folder if it is missing."""
        from audio_triplet.provenance import provenance

        begun = cls(provenance(), time.monotonic())
        os.makedirs(output_dir, exist_ok=True)
        return begun

    def config(self, corpus: Corpus, **values: object) -> dict:
        """The `config` of a table.

        Args:
          corpus: The corpus of the table.
          **values: Other values that it depends on.

        Returns:
          Provenance, corpus, splits, the values, and the seconds until now.
        """
        return (
            self.provenance
            | {
                "corpus": corpus.name,
                "train_splits": corpus.train_splits,
                "test_splits": corpus.test_splits,
            }
            | values
            | {"seconds": round(time.monotonic() - self.started)}
        )


def write(path: str, table: dict, markdown: str, draw: Callable[[dict, str], None]) -> None:
    """Writes a table as PATH.json, PATH.md and PATH.png, each whole or not at all.

    Args:
      path: Without extension.
      table: The content of the JSON file.
      markdown: That of the Markdown file.
      draw: Draws the table into a PNG file of the given name.
    """
    kept.write_json(f"{path}.json", table)
    storage.write_text(f"{path}.md", markdown)
    draw(table, f"{path}.png")


def heading(*titles: str) -> list[str]:
    """The first two lines of a Markdown table."""
    return [line(*titles), "|---" * len(titles) + "|"]


def line(*cells: str) -> str:
    """A line of a Markdown table."""
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def cell(value: float | None, spread: float | None = None, percent: bool = False) -> str:
    """A number as a table shows it, with its spread if there is one."""
    if value is None:
        return "–"
    text = f"{round(100 * value)} %" if percent else f"{value:.3f}"
    return text + (f" ± {spread:.3f}" if spread is not None else "")


def listed(values: Iterable[object]) -> str:
    """Values as a sentence lists them."""
    return ", ".join(map(str, values))


def training_in_words(run: dict, topline_rate: float | None = None) -> str:
    """How encoders were trained, as tables say it.

    Args:
      run: Of a table's `config`, see `ExperimentSettings.summary`.
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


def how_to_repeat(config: dict, more: str = "") -> list[str]:
    """The last lines of a Markdown file: the command, commit, date, time, machine and versions.

    Args:
      config: Of the table.
      more: What else is said of the time.
    """
    seconds = f", {config['seconds']} s{more} on " if "seconds" in config else ", "
    versions = listed(f"{name} {version}" for name, version in config["versions"].items())
    return [
        f"    {config['command']}",
        "",
        f"Commit {config['commit']}, {config['date']}{seconds}{config['machine']}; {versions}.",
        "",
    ]
