"""Curves of training runs."""

import numpy as np

from audio_triplet.web import training_curves


def test_smoothing_keeps_lines_and_ends():
    steps = list(range(800))
    kept, values = training_curves.smooth(steps, [2.0 * step for step in steps])
    np.testing.assert_allclose(values, 2 * np.array(kept))
    assert kept[0] == 0 and kept[-1] == 799 and len(kept) == 150
    noisy = np.tile([0.0, 1.0], 400)
    assert np.std(training_curves.smooth(steps, noisy)[1][5:-5]) < 0.1
    assert training_curves.smooth([7], [0.5]) == ([7.0], [0.5]) and training_curves.smooth(
        [], []
    ) == ([], [])
