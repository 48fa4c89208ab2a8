"""Frozen dataclasses of `audio_triplet.config` as absl flags."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from absl import flags

from audio_triplet.config import RENAMED

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from audio_triplet.data.sound_filter import SoundFilter
    from audio_triplet.pipelines.runners import Parsed

T = TypeVar("T", bound="DataclassInstance")

INDEX_HELP = "Folder that audio-triplet index made, or its address: s3://BUCKET/NAME, gs://…."

# Flags defined here on behalf of a script are the script's: its --help lists them.
flags.disclaim_key_flags()


def define_labels_flag(default: str) -> None:
    """Defines --labels, what gives the sounds of a folder their labels.

    Args:
      default: `folders` or `none`, see `inputs.load_inputs`.
    """
    flags.DEFINE_string(
        "labels",
        default,
        "What labels the sounds of a folder: folders: the folder just below it that they lie in; "
        "none: nothing; FILE: a manifest that names them. Manifests and corpora keep their own.",
    )


def define_model_flag(default: str = "the released model") -> None:
    """Defines --model: a folder of ours, or a model of others.

    Args:
      default: What is taken without it.
    """
    flags.DEFINE_string(
        "model",
        None,
        f"Folder of a SavedModel; by default {default}. Models of others: "
        "hear:MODULE[?weights=FILE], tflite:FILE, onnx:FILE, see docs/other_models.md.",
    )


def define_truncated_flag(default: str) -> None:
    """Defines --truncated, what is done with files of which an end is missing.

    Args:
      default: `use` or `refuse`.
    """
    flags.DEFINE_enum(
        "truncated",
        default,
        ("use", "refuse"),
        "Files of which an end is missing: use what is there, with a warning, or refuse them.",
    )


def define_runner_flag() -> None:
    """Defines --runner: whose workers embed."""
    flags.DEFINE_string(
        "runner",
        None,
        "Embed by worker processes of Apache Beam's: DirectRunner, on all cores of this machine; "
        "DaskRunner, FlinkRunner, SparkRunner, DataflowRunner, on a cluster, which have flags of "
        "their own: --help --runner=NAME. By default this process embeds.",
    )


def runner_from_flags(arguments: Sequence[str]) -> tuple[list[str], Parsed | None]:
    """What --runner and the flags of that runner say.

    Args:
      arguments: What is left of the command line.

    Returns:
      What is no flag; and the runner, None without --runner.

    Raises:
      UsageError: As `runners.parse`.
    """
    if not flags.FLAGS.runner:
        return list(arguments), None
    from audio_triplet.pipelines import runners

    parsed = runners.parse([f"--runner={flags.FLAGS.runner}", *arguments])
    return list(parsed.rest), parsed


def define_filter_flags() -> None:
    """Defines --after, --before, --hours and --path: which sound of an archive is meant."""
    flags.DEFINE_string(
        "after", None, "Only sound from this time on, by its recorder's clock: 2024-06-12T05:30."
    )
    flags.DEFINE_string("before", None, "Only sound before this time.")
    flags.DEFINE_list("hours", [], "Only sound of these hours of the day: 4-7, or 22-4,12-13.")
    flags.DEFINE_multi_string(
        "path", [], "Only files whose path fits, such as 'SITE1/*'; may be given again."
    )


def filter_from_flags() -> SoundFilter:
    """What these flags ask for.

    Raises:
      UsageError: One of them cannot be read.
    """
    from audio_triplet.data.sound_filter import SoundFilter

    values = flags.FLAGS
    return SoundFilter.of(values.after, values.before, values.hours, values.path)


def define_flags(kind: type, skip: tuple[str, ...] = (), **overrides: Any) -> None:
    """Defines a flag for every field of a configuration dataclass.

    The flag's help is the field's entry under `Attributes` in the class docstring, so the two
    cannot differ. Earlier names of a field (`config.RENAMED`) are aliases of its flag.

    Args:
      kind: The dataclass.
      skip: Fields without a flag.
      **overrides: Defaults that differ from the dataclass's.
    """
    descriptions = _attribute_docs(kind)
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.name in skip or field.default is dataclasses.MISSING:  # a mapping has no flag
            continue
        default = overrides.get(field.name, field.default)
        define = {
            bool: flags.DEFINE_boolean,
            int: flags.DEFINE_integer,
            float: flags.DEFINE_float,
            str: flags.DEFINE_string,
        }.get(hints[field.name])
        if define is None:  # tuples of numbers or names
            default = [str(value) for value in default]
            define = flags.DEFINE_list
        define(field.name, default, descriptions[field.name])
        for earlier, current in RENAMED.items():
            if current == field.name:
                flags.DEFINE_alias(earlier, current)


def from_flags(kind: type[T], preset: Mapping[str, object] | None = None, **overrides: Any) -> T:
    """Builds the dataclass from the flags that `define_flags` defined.

    Precedence: overrides, flags given on the command line, the preset, the flags' defaults.

    Args:
      kind: The dataclass.
      preset: Values of fields whose flags were not given; may name other fields too.
      **overrides: Values of fields that win over the flags.

    Returns:
      An instance.
    """
    hints = typing.get_type_hints(kind)
    values, preset = {}, preset or {}
    for field in dataclasses.fields(kind):
        if field.name in flags.FLAGS and field.name not in overrides:
            if field.name in preset and not flags.FLAGS[field.name].present:
                values[field.name] = preset[field.name]
                continue
            value = flags.FLAGS[field.name].value
            if isinstance(value, list):
                element = typing.get_args(hints[field.name])[0]
                value = tuple(element(part) for part in value)
            values[field.name] = value
    return kind(**values | overrides)


def _attribute_docs(kind: type) -> dict[str, str]:
    """Field name → description, from the docstring's `Attributes` section."""
    section = (kind.__doc__ or "").split("Attributes:", 1)[-1]
    entries = re.findall(r"^ +(\w+): (.*?)(?=^ +\w+: |\Z)", section, re.DOTALL | re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
