"""Sources of sound: what is excited, how, and when.

    wind, surf, engines' hiss   `Noise`
    calls, songs, sirens        `Tones`: events with a course of pitch
    knocks, bells, drops        `Strikes`: events on a body that rings
    rain, fire, applause        `Grains`: very many small blows
    motors, insects, purring    `Pulses`: a regular excitation
    coughs, steps, breath       `Bursts`: events of noise

No source is made to be one of these; the names say what its range of parameters holds.
"""

import abc
from typing import Protocol

import numpy as np

from audio_triplet.corpora.synthetic.parameters import Parameters
from audio_triplet.corpora.synthetic.signals import (
    RATE,
    TOP_HZ,
    Body,
    Colour,
    convolve,
    course,
    envelope,
    to_unit,
)

_MAX_EVENTS = 150
_MAX_EVENT_SECONDS = 4.0


class Source(Protocol):
    """A kind of source, made of parameters."""

    def __init__(self, p: Parameters): ...

    def render(self, chance: np.random.Generator, samples: int) -> np.ndarray:
        """Some of its sound. float64[samples]."""


class Noise:
    """Noise of one colour, or of two, between which it goes to and fro."""

    def __init__(self, p: Parameters):
        self._colour, self._other = Colour.draw(p), Colour.draw(p)
        self._changes, self._rate = p.whether(0.5), p.log_uniform(0.1, 4)

    def render(self, chance: np.random.Generator, samples: int) -> np.ndarray:
        """float64[samples]."""
        x = self._colour.noise(chance, samples)
        if not self._changes:
            return x
        share = 0.5 + 0.5 * np.tanh(2 * course(chance, samples, self._rate))
        return np.sqrt(share) * x + np.sqrt(1 - share) * self._other.noise(chance, samples)


class Pulses:
    """A body, or noise, excited at a rate that is nearly regular."""

    def __init__(self, p: Parameters):
        self._hz = p.log_uniform(8, 400)
        self._drift, self._drift_hz = p.choose(0.01, 0.1, 0.5), p.log_uniform(0.1, 3)
        self._jitter, self._uneven = p.choose(0.0, 0.02, 0.1), p.choose(0.02, 0.3)
        self._body, self._hiss = Body.draw(p), Colour.draw(p)
        self._hiss_level = p.log_uniform(0.01, 1)

    def render(self, chance: np.random.Generator, samples: int) -> np.ndarray:
        """float64[samples]."""
        rate = self._hz * 2 ** (self._drift * course(chance, samples, self._drift_hz))
        rate = rate * np.maximum(0.1, 1 + self._jitter * course(chance, samples, 40))
        turns = np.floor(np.cumsum(rate) / RATE)
        hits = np.flatnonzero(np.diff(turns, prepend=0))
        x = np.zeros(samples)
        x[hits] = np.exp(self._uneven * chance.standard_normal(len(hits)))
        x = to_unit(convolve(x, self._body.response(chance, int(0.3 * RATE))))
        return x + self._hiss_level * self._hiss.noise(chance, samples)


class Grains:
    """Blows on a few bodies, at random times, from three to many hundred a second."""

    def __init__(self, p: Parameters):
        self._rate = p.log_uniform(3, 1500)
        self._spread = p.choose(0.3, 1.0, 1.6)
        self._bodies = [Body.draw(p) for _ in range(p.count(1, 4))]
        self._samples = int(p.log_uniform(0.02, 0.4) * RATE)

    def render(self, chance: np.random.Generator, samples: int) -> np.ndarray:
        """float64[samples]."""
        x = np.zeros(samples)
        for body in self._bodies:
            mean = self._rate * samples / RATE / len(self._bodies)
            count = max(1, chance.poisson(mean))
            blows = np.zeros(samples)
            levels = np.exp(self._spread * chance.standard_normal(count))
            np.add.at(blows, chance.integers(0, samples, count), levels)
            x += convolve(blows, body.response(chance, self._samples))
        return x


class _Events(abc.ABC):
    """Events in time: one, at random, regular, or in groups. The base of what makes them."""

    def __init__(self, p: Parameters):
        self._rhythm = p.choose("one", "random", "random", "regular", "regular", "groups")
        slowest, fastest = {"random": (0.5, 12), "groups": (4, 30)}.get(self._rhythm, (0.6, 25))
        self._rate = p.log_uniform(slowest, fastest)
        self._unsteady = p.choose(0.002, 0.05, 0.15)
        self._group, self._pause = p.count(2, 8), p.log_uniform(0.2, 2.0)
        self._hastens = p.normal(0.5) * p.choose(0.0, 0.0, 1.0)
        self._uneven = p.choose(0.05, 0.3, 0.7)
        self._attack, self._decay = p.log_uniform(0.001, 0.2), p.log_uniform(0.01, 1.2)
        held = p.log_uniform(0.02, 1.0)
        self._hold = held if p.whether(0.5) else 0.0

    @abc.abstractmethod
    def _event(self, chance: np.random.Generator, samples: int, number: int) -> np.ndarray:
        """One event. float64[samples]."""

    def render(self, chance: np.random.Generator, samples: int) -> np.ndarray:
        """float64[samples]."""
        seconds = min(_MAX_EVENT_SECONDS, self._attack + self._hold + 5 * self._decay)
        length = min(samples, max(16, int(seconds * RATE)))
        x = np.zeros(samples)
        for number, start in enumerate(self._starts(chance, samples)):
            level = np.exp(self._uneven * chance.standard_normal())
            end = min(samples, start + length)
            x[start:end] += level * self._event(chance, length, number)[: end - start]
        return x

    def _starts(self, chance: np.random.Generator, samples: int) -> np.ndarray:
        seconds = samples / RATE
        if self._rhythm == "one":
            times = chance.uniform(0, 0.3 * seconds, 1)
        elif self._rhythm == "random":
            count = max(1, chance.poisson(self._rate * seconds))
            times = np.sort(chance.uniform(0, seconds, count))
        else:
            period = 1 / self._rate
            times = np.arange(0.0, seconds, period)
            times = seconds * (times / seconds) ** np.exp(self._hastens)  # as a ball that bounces
            if self._rhythm == "groups":
                times = times + self._pause * (np.arange(len(times)) // self._group)
            times = times + chance.uniform(0, min(period, 0.5 * seconds))
            times = times + period * self._unsteady * chance.standard_normal(len(times))
        inside = times[(times >= 0) & (times < seconds - 0.05)]
        return (inside[:_MAX_EVENTS] * RATE).astype(int)


class Strikes(_Events):
    """Blows on one body."""

    def __init__(self, p: Parameters):
        super().__init__(p)
        self._body = Body.draw(p)

    def _event(self, chance: np.random.Generator, samples: int, number: int) -> np.ndarray:
        return self._body.response(chance, samples)


class Bursts(_Events):
    """Bursts of noise of one colour."""

    def __init__(self, p: Parameters):
        super().__init__(p)
        self._colour = Colour.draw(p)

    def _event(self, chance: np.random.Generator, samples: int, number: int) -> np.ndarray:
        shape = envelope(samples, self._attack, self._hold, self._decay)
        return self._colour.noise(chance, samples) * shape


class Tones(_Events):
    """Tones of one voice, which may sing a motif."""

    def __init__(self, p: Parameters):
        super().__init__(p)
        self._voice = _Voice(p)
        self._motif = 0.4 * p.normals(4)[: p.count(1, 4)] * p.choose(0.0, 1.0)
        breath, level = Colour.draw(p), p.uniform(0, 0.5)
        self._breath, self._breath_level = breath, level if p.whether(0.4) else 0.0

    def _event(self, chance: np.random.Generator, samples: int, number: int) -> np.ndarray:
        octaves = self._motif[number % len(self._motif)]
        x = self._voice.sing(chance, samples, octaves)
        if self._breath_level:
            x = x + self._breath_level * self._breath.noise(chance, samples)
        return x * envelope(samples, self._attack, self._hold, self._decay)


class _Voice:
    """Partials, or frequency modulation, under a course of pitch."""

    def __init__(self, p: Parameters):
        self._hz = p.log_uniform(50, 4500)
        k = np.arange(1, p.count(1, 24) + 1)
        spaced, stretched = k.astype(float), 1 + np.cumsum(np.abs(p.normals(len(k))))
        self._ratios = np.concatenate([[1.0], stretched[:-1]]) if p.whether(0.3) else spaced
        levels = k ** -p.uniform(0, 2.2) * np.exp(0.6 * p.normals(len(k)))
        if p.whether(0.2):
            levels[1::2] *= 0.05  # odd partials, as of a stopped pipe
        self._levels = levels / np.sqrt(np.sum(levels**2))
        self._formants = p.whether(0.4)
        self._log_hz = np.array([p.uniform(np.log(300), np.log(4000)) for _ in range(3)])
        self._moves = 0.3 * p.normals(3)  # what a mouth does while it opens
        wild = p.whether(0.4)
        self._glide = p.normal(0.8 if wild else 0.05)  # octaves from begin to end
        self._arc = p.normal(0.4 if wild else 0.03)
        self._wander = abs(p.normal(0.15)) * p.choose(0.03, 1.0)
        self._vibrato = abs(p.normal(0.15)) * p.choose(0.0, 0.0, 1.0)
        self._vibrato_hz = p.log_uniform(2, 60)
        self._rough = abs(p.normal(0.06)) * p.choose(0.0, 1.0)
        self._index = p.log_uniform(0.3, 8) * p.choose(0.0, 0.0, 0.0, 0.0, 1.0)
        self._ratio, self._fade = p.log_uniform(0.2, 6), p.uniform(0, 1)

    def sing(self, chance: np.random.Generator, samples: int, octaves: float) -> np.ndarray:
        """A tone, some octaves above the voice's own pitch. float64[samples]."""
        t = np.linspace(0, 1, samples)
        bend = self._glide * (t - 0.5) + self._arc * (2 * t - 1) ** 2
        bend = bend * chance.normal(1, 0.15) + octaves + chance.normal(0, self._wander)
        if self._vibrato:
            turns = self._vibrato_hz * samples / RATE * t + chance.uniform()
            bend = bend + self._vibrato * np.sin(2 * np.pi * turns)
        if self._rough:
            bend = bend + self._rough * course(chance, samples, 25)
        hz = self._hz * 2**bend
        phase = 2 * np.pi * np.cumsum(hz) / RATE
        if self._index:
            depth = self._index * (1 - self._fade * t)
            return np.sin(phase + depth * np.sin(self._ratio * phase))
        x, highest = np.zeros(samples), hz.max()
        for ratio, level in zip(self._ratios, self._levels, strict=True):
            if ratio * highest < TOP_HZ and level > 1e-3:
                partial = level * np.sin(ratio * phase + chance.uniform(0, 2 * np.pi))
                x += partial * self._resonance(ratio * hz) if self._formants else partial
        return x

    def _resonance(self, hz: np.ndarray) -> np.ndarray:
        """What formants make of a partial, worked out every 10 ms. float64[samples]."""
        knots = np.arange(0, len(hz) + RATE // 100, RATE // 100)
        log_hz = np.log(hz[np.minimum(knots, len(hz) - 1)])[:, None]
        formants = self._log_hz + self._moves * (knots / len(hz) - 0.5)[:, None]
        levels = 0.03 + np.exp(-0.5 * ((log_hz - formants) / 0.25) ** 2).sum(axis=1)
        return np.interp(np.arange(len(hz)), knots, levels)


# What differs most from one to another is drawn more often.
KINDS: tuple[type[Source], ...] = (
    *(2 * [Noise]), *(3 * [Tones]), *(3 * [Strikes]), *(2 * [Grains]), Pulses, Bursts,
)  # fmt: skip
