"""Building blocks: coloured noise, slow courses, modes of struck things, envelopes.

Each takes a `chance`, a NumPy generator for what differs from moment to moment, and parameters that
say what kind of thing it is.
"""

import dataclasses

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

from audio_triplet.corpora.synthetic.parameters import Parameters

RATE = 16_000
TOP_HZ = 0.47 * RATE  # nothing is made above it: it would alias
_TINY = 1e-9


def to_unit(x: np.ndarray) -> np.ndarray:
    """A signal brought to a root mean square of 1; silence stays silence."""
    return x / (np.sqrt(np.mean(x**2)) + _TINY)


def convolve(x: np.ndarray, response: np.ndarray) -> np.ndarray:
    """The beginning of a convolution, as long as `x`. float64[samples]."""
    length = len(x) + len(response) - 1
    size = next_fast_len(length, real=True)
    return irfft(rfft(x, size) * rfft(response, size), size)[: len(x)]


def course(chance: np.random.Generator, samples: int, rate_hz: float) -> np.ndarray:
    """A smooth random course that turns about `rate_hz` times a second. float64[samples]."""
    knots = chance.standard_normal(max(4, int(samples / RATE * rate_hz * 2) + 3))
    position = np.linspace(0, len(knots) - 1.001, samples)
    before = position.astype(int)
    share = 0.5 - 0.5 * np.cos(np.pi * (position - before))
    return knots[before] * (1 - share) + knots[before + 1] * share


def envelope(samples: int, attack: float, hold: float, decay: float) -> np.ndarray:
    """Linear rise, hold, exponential decay; times in seconds. float64[samples]."""
    t = np.arange(samples) / RATE
    return np.minimum(1, t / attack) * np.exp(-np.maximum(0, t - attack - hold) / decay)


@dataclasses.dataclass(frozen=True)
class Colour:
    """A smooth spectrum of noise: gains in dB at logarithms of frequencies."""

    log_hz: np.ndarray
    gains: np.ndarray

    @classmethod
    def draw(cls, p: Parameters) -> "Colour":
        """A random walk over the frequencies on a random slope, or a band."""
        log_hz = np.linspace(np.log(40), np.log(RATE / 2), 25)
        points = np.linspace(log_hz[0], log_hz[-1], 7)
        slope = np.linspace(0, 1, 7) * p.uniform(-20, 50)
        gains = np.interp(log_hz, points, np.cumsum(9 * p.normals(7)) - slope)
        centre, width = p.uniform(np.log(150), np.log(7000)), p.log_uniform(0.05, 1.0)
        if p.whether(0.35):
            gains = 0.3 * gains - 40 * np.minimum(((log_hz - centre) / width) ** 2, 1.5)
        return cls(log_hz, np.maximum(gains - gains.max(), -80))

    def noise(self, chance: np.random.Generator, samples: int) -> np.ndarray:
        """Noise of this colour. float64[samples], unit RMS."""
        size = next_fast_len(
            samples, real=True
        )  # a prime number of samples takes ten times as long
        spectrum = rfft(chance.standard_normal(size))
        log_hz = np.log(np.maximum(rfftfreq(size, 1 / RATE), 20))
        gains = np.interp(log_hz, self.log_hz, self.gains)
        return to_unit(irfft(spectrum * 10 ** (gains / 20), size)[:samples])


@dataclasses.dataclass(frozen=True)
class Body:
    """A thing that rings when struck: modes, and the noise of the blow."""

    hz: np.ndarray
    levels: np.ndarray
    decays: np.ndarray
    blow: Colour
    blow_level: float
    blow_decay: float

    @classmethod
    def draw(cls, p: Parameters) -> "Body":
        """From a click to a bell: 1 to 14 modes, 4 ms to 0.8 s."""
        base, spread = p.log_uniform(60, 3500), p.uniform(0.2, 3)
        k = np.arange(p.count(1, 14))
        hz = base * (1 + spread * k * np.exp(0.12 * p.normals(len(k))))
        decays = p.log_uniform(0.004, 0.8) * (hz / base) ** -p.uniform(0, 1.2)
        levels = np.where(hz < TOP_HZ, np.exp(0.8 * p.normals(len(k))), 0.0)
        blow, level, decay = Colour.draw(p), p.uniform(0.1, 1.5), p.log_uniform(0.002, 0.05)
        return cls(hz, levels, decays, blow, level if p.whether(0.6) else 0.0, decay)

    def response(self, chance: np.random.Generator, samples: int) -> np.ndarray:
        """What a blow gives; blows excite the modes differently. float64[samples], unit norm."""
        t = np.arange(samples) / RATE
        levels = self.levels * np.exp(0.3 * chance.standard_normal(len(self.hz)))
        phases = chance.uniform(0, 2 * np.pi, len(self.hz))
        x = np.zeros(samples)
        for hz, level, decay, phase in zip(self.hz, levels, self.decays, phases, strict=True):
            if level:
                x += level * np.sin(2 * np.pi * hz * t + phase) * np.exp(-t / decay)
        head = min(samples, int(0.15 * RATE))
        if self.blow_level:
            fall = np.exp(-t[:head] / self.blow_decay)
            x[:head] += self.blow_level * self.blow.noise(chance, head) * fall
        return x / (np.sqrt(np.sum(x**2)) + _TINY)
