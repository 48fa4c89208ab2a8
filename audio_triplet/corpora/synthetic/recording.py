"""A recording: one to three sources, in a room, over a background."""

import numpy as np

from audio_triplet.corpora.synthetic.parameters import Parameters
from audio_triplet.corpora.synthetic.signals import RATE, Colour, convolve, course, to_unit
from audio_triplet.corpora.synthetic.sources import KINDS, Noise, Tones

SHORTEST_SECONDS, LONGEST_SECONDS = 2.0, 10.0


def render(seed: int, recording: int) -> np.ndarray:
    """A recording.

    Args:
      seed: Of the corpus.
      recording: Its number.

    Returns:
      float32[samples] at 16 kHz, 2 to 10 s, below full scale; the same bits for the same arguments
      on one kind of machine.
    """
    p = Parameters(seed, recording)
    chance = np.random.default_rng([seed, recording, 1])
    seconds = np.exp(chance.uniform(np.log(SHORTEST_SECONDS), np.log(LONGEST_SECONDS)))
    samples = int(seconds * RATE)
    x = _source(p, chance, samples)
    for _ in range(p.choose(0, 0, 0, 0, 0, 0, 1, 1, 1, 2)):
        level = p.log_uniform(0.05, 1.0)
        x = x + level * _source(p, chance, samples)
    reverberation, wet = p.log_uniform(0.05, 2.0), p.log_uniform(0.05, 0.8)
    if p.whether(0.4):
        x = x + wet * convolve(x, _room(chance, reverberation))
    background, level = Colour.draw(p), p.log_uniform(0.003, 0.3)
    if p.whether(0.5):
        x = x + level * background.noise(chance, samples)
    peak = p.log_uniform(0.1, 0.95)
    return (x * (peak / (np.abs(x).max() + 1e-9))).astype(np.float32)


def _source(p: Parameters, chance: np.random.Generator, samples: int) -> np.ndarray:
    """A source with a level that changes. float64[samples], unit RMS."""
    kind = p.choose(*KINDS)
    x = kind(p).render(chance, samples)
    depth, rate = p.choose(1.0, 1.0, 2.5) * p.uniform(0, 12), p.log_uniform(0.1, 12)
    if p.whether(0.5) or kind is Noise:
        x = x * 10 ** (depth * np.minimum(course(chance, samples, rate), 1.5) / 20)
    rate, depth = p.log_uniform(0.5, 80), p.uniform(0.3, 1)
    if p.whether(0.15) and kind in (Noise, Tones):
        turns = rate * np.arange(samples) / RATE + chance.uniform()
        x = x * (1 - depth * (0.5 + 0.5 * np.sin(2 * np.pi * turns)))
    return to_unit(x)


def _room(chance: np.random.Generator, reverberation: float) -> np.ndarray:
    """A room's answer: noise that decays by 60 dB in some seconds. float64[samples], unit norm."""
    samples = int(min(1.5, reverberation) * RATE)
    decay = 10 ** (-3 * np.arange(samples) / RATE / reverberation)
    tail = chance.standard_normal(samples) * decay
    return tail / np.sqrt(np.sum(tail**2))
