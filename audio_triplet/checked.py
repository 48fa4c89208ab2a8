"""Dataclass fields with bounds, which are declared with the default and checked once.

@dataclasses.dataclass(frozen=True)
class TrainingConfig(Checked):
    steps: int = checked(1000, above=0)
    mining: str = checked("semi_hard", choices=("semi_hard", "hardest", "random"))
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from audio_triplet.errors import ConfigError


def checked(
    default: Any,
    *,
    choices: Sequence[str] | None = None,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> Any:
    """A dataclass field that `Checked` checks.

    Args:
      default: Its default.
      choices: The values it may have; None: any.
      least: Lower bound.
      above: Lower bound that it may not have itself.
      most: Upper bound.
    """
    bounds = {"choices": choices, "least": least, "above": above, "most": most}
    return dataclasses.field(default=default, metadata=bounds)


class Checked:
    """Base of dataclasses with `checked` fields: raises ConfigError, which names the field."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # a dataclass below
            if field.metadata:
                _check(field.name, getattr(self, field.name), **field.metadata)


def _check(name: str, value, choices, least, above, most) -> None:
    """Raises ConfigError unless the value is allowed; NaN never is."""
    if choices is not None and value not in choices:
        raise ConfigError(f"{name}={value!r} is none of {', '.join(choices)}")
    if least is not None and not value >= least:
        reason = f"must be at least {least}" if least else "is negative"
        raise ConfigError(f"{name}={value} {reason}")
    if above is not None and not value > above:
        raise ConfigError(f"{name}={value} must be {f'above {above}' if above else 'positive'}")
    if most is not None and not value <= most:
        raise ConfigError(f"{name}={value} must be at most {most}")
