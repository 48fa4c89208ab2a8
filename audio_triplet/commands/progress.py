"""How far a long job over sound is: hours done, hours per minute, time left."""

import time

from absl import logging
from tqdm import tqdm


class Progress:
    """Hours done, hours per minute and time left: a bar on a terminal, else a line now and then.

    Attributes:
      seconds: Of sound that are done.
    """

    def __init__(self, total_seconds: float, log_every_seconds: float = 30.0):
        """Begins with nothing done.

        Args:
          total_seconds: Of sound.
          log_every_seconds: From one line to the next, where there is no terminal.
        """
        self.seconds, self._total = 0.0, total_seconds
        self._log_every = log_every_seconds
        self._start = self._logged_at = time.monotonic()
        self._bar = tqdm(
            total=round(total_seconds / 3600, 4),
            disable=None,
            bar_format="{percentage:3.0f}%|{bar:20}| {n:.2f} of {total:.2f} h{postfix}, "
            "{remaining} left",
        )

    def __call__(self, seconds: float) -> None:
        """Counts more seconds of sound."""
        self.seconds += seconds
        self._bar.set_postfix_str(f"{self.hours_per_minute:.2f} h/min", refresh=False)
        self._bar.update(seconds / 3600)
        now = time.monotonic()
        if self._bar.disable and now - self._logged_at > self._log_every:
            self._logged_at = now
            left = (self._total - self.seconds) / max(self.seconds, 1e-9) * (now - self._start)
            logging.info(
                "%.2f of %.2f h, %.2f h/min, %.0f s left",
                self.seconds / 3600,
                self._total / 3600,
                self.hours_per_minute,
                left,
            )

    @property
    def hours_per_minute(self) -> float:
        """Hours of sound per minute."""
        return self.seconds / 60 / max(time.monotonic() - self._start, 1e-9)

    def close(self) -> None:
        """Ends the bar."""
        self._bar.close()
