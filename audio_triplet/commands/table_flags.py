"""The flag --form: hits and predictions as tables of annotation programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

if TYPE_CHECKING:
    from audio_triplet.annotations.moments import Moment

NAMES = ("raven", "audacity", "csv", "json")


def define_flags() -> None:
    """Defines --form."""
    flags.DEFINE_multi_enum(
        "form",
        [],
        NAMES,
        "Write tables too that open beside the sound, a file for each recording and one for all: "
        "for Raven, Audacity, spreadsheets, or Label Studio (json)",
    )


def write(forms: Sequence[str], output_dir: str, name: str, moments: Sequence[Moment]) -> list[str]:
    """Writes the tables that were asked for.

    Args:
      forms: Of `NAMES`.
      output_dir: Where to.
      name: What they are called.
      moments: What they hold.

    Returns:
      A line for the user for each form.
    """
    from audio_triplet.annotations import writing

    return [writing.write(form, output_dir, name, moments) for form in forms]
