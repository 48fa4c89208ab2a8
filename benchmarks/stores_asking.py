"""Asking a store, and the memory it takes: what `stores` and `stores_lance` share.

It imports nothing of ours, so that another environment can load it.
"""

import os
import threading
import time
from collections.abc import Callable

import numpy as np


def asked(folder: str, ask: Callable[[np.ndarray], np.ndarray]) -> dict[str, float]:
    """Asks each query twice; recall, and the times of the second round."""
    queries = np.load(os.path.join(folder, "queries.npy"))
    truth = np.load(os.path.join(folder, "truth.npy"))
    times, found, processor = [], 0, 0.0
    for repeat in range(2):
        processor = time.process_time()
        for query, right in zip(queries, truth, strict=True):
            begin = time.perf_counter()
            answer = ask(query)
            if repeat:
                times.append(time.perf_counter() - begin)
                found += len(set(answer.tolist()) & set(right.tolist()))
    processor = time.process_time() - processor
    return {
        "ms": 1000 * float(np.median(times)),
        "processor_ms": 1000 * processor / len(times),
        "ms_95": 1000 * float(np.quantile(times, 0.95)),
        "recall": found / truth.size,
    }


class Memory:
    """The most memory that this process takes inside `with`, beyond pages of files.

    Attributes:
      gigabytes: That, above what it took at the beginning.
    """

    def __enter__(self):
        """Begins to look."""
        self.gigabytes, self._first, self._over = 0.0, _anonymous_gigabytes(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception):
        """Ends looking."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.2):
            self.gigabytes = max(self.gigabytes, _anonymous_gigabytes() - self._first)


def _anonymous_gigabytes() -> float:
    with open("/proc/self/status", encoding="utf-8") as file:
        line = next(line for line in file if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1e6
