"""How far a run is: a bar on a terminal, else a line per minute."""

import time

from absl import logging
from tqdm import tqdm

# Seconds between two lines where there is no bar.
_LINE_SECONDS = 60


class Progress:
    """A bar on a terminal, else log lines; a context manager that closes the bar."""

    def __init__(self, name: str, first_step: int, steps: int, patches_per_step: int, shown: bool):
        """Makes the bar.

        Args:
          name: Of the run.
          first_step: Steps that are done.
          steps: Steps of the run.
          patches_per_step: Patches in a global batch.
          shown: Whether a terminal gets a bar.
        """
        self._bar = tqdm(
            total=steps,
            initial=first_step,
            unit="step",
            disable=None if shown else True,  # None: off where there is no terminal
            desc=name,
            smoothing=0.05,
        )
        self._steps = steps
        self._patches_per_step = patches_per_step
        self._logged = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception) -> None:
        self._bar.close()

    def step(self, count: int = 1) -> None:
        """Moves the bar by some steps."""
        self._bar.update(count)

    def report(self, done: int, loss: float, rate: float, last: bool) -> None:
        """Shows loss and rate.

        Args:
          done: Steps done.
          loss: Of the last step.
          rate: Patches per second.
          last: Whether the run ends here: then a line is logged in any case.
        """
        if self._bar.disable and (last or time.monotonic() - self._logged > _LINE_SECONDS):
            self._logged = time.monotonic()
            minutes = (self._steps - done) * self._patches_per_step / rate / 60
            logging.info(
                "step %d of %d: loss %.4f, %.0f patches/s, %.0f min left",
                done,
                self._steps,
                loss,
                rate,
                minutes,
            )
        self._bar.set_postfix_str(f"loss {loss:.4f}, {rate:.0f} patches/s", refresh=False)
