"""Self-contained HTML pages with sound: one design for the report, search results and classifiers.

A page is one file that needs no network: style, script, pictures and sound are in it. It reads on
a phone, in the dark and on paper, and everything on it can be reached with the keyboard.

    clips = Clips()
    clips.add([Excerpt("dog.wav", 0.0, 2.5)])
    body = clips.player(Excerpt("dog.wav", 0.0, 2.5), "dog")
    write(path, page("Title", body, clips=clips))

Sound is MP3, which every browser plays, as base64 in one JSON block that is parsed at the first
click; all players share one audio element, and one listener serves them all, so that a page with
hundreds of players opens at once. Whatever comes from outside (labels, file names) goes through
`text` or `json_block`; beyond that, the page's Content-Security-Policy lets nothing be loaded and
no script run but its own.

No TensorFlow is imported until a log mel picture is made.
"""

from __future__ import annotations

import base64
import concurrent.futures
import dataclasses
import functools
import hashlib
import html
import io
import json
import math
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import soundfile
from absl import logging

from audio_triplet import audio

SAMPLE_RATE = 16_000
EXCERPT_SECONDS = 10.0
"""The longest excerpt that a page may ask for, whatever the quality says [D]."""

# libsndfile with LAME where there is one (all wheels of soundfile), else Vorbis.
_FORMATS = (("MP3", "MPEG_LAYER_III", "audio/mpeg"), ("OGG", "VORBIS", "audio/ogg"))

_MAX_GAIN = 8.0  # 18 dB
_PEAK = 0.7  # -3 dB: codecs overshoot
_FADE_SECONDS = 0.01

_PICTURE_LEVELS = 32
_PICTURE_FRAMES_PER_PIXEL = 2  # 20 ms
_PICTURE_MIN_RANGE = 3.0  # nepers: a silent clip shall look silent, not like its rounding errors


def text(value) -> str:
    """Any value as HTML text that is safe in an element and in a quoted attribute.

    Control characters and halves of surrogate pairs (a file name that is not UTF-8) become U+FFFD.
    """
    return html.escape(clean(str(value)), quote=True)


def clean(value: str) -> str:
    """Replaces what no page may hold: control characters and halves of surrogate pairs."""
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs") else "\ufffd"
        for char in value
    )


def name(value) -> str:
    """A label or file name as HTML, apart from the text around it in writing direction too.

    Underscores become spaces, so that a line can break there.
    """
    return f"<bdi>{text(value).replace('_', ' ')}</bdi>"


def number(value, digits: int = 3) -> str:
    """A figure, or a dash where there is none (None, NaN, infinite)."""
    return f"{value:.{digits}f}" if is_number(value) else "–"


def percent(value) -> str:
    """A share as a percentage, or a dash; the space does not break."""
    return f"{100 * value:.0f}\u202f%" if is_number(value) else "–"


def is_number(value) -> bool:
    """Whether this is a finite figure (and neither None nor a word)."""
    return isinstance(value, (int, float, np.number)) and math.isfinite(value)


def json_block(identifier: str, value) -> str:
    """Data for the page's scripts. No `<` is left in it, so that no label can end the block."""
    content = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{identifier}">{content}</script>'


# --- sound ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Excerpt:
    """A part of a sound file.

    Attributes:
      path: The file.
      start_seconds: Where it begins.
      end_seconds: Where it ends; None: with the file.
    """

    path: str
    start_seconds: float = 0.0
    end_seconds: float | None = None

    @classmethod
    def of_row(cls, row) -> Excerpt:
        """The excerpt of a manifest row (anything with path, start_seconds, end_seconds)."""
        end = float(row.end_seconds)
        return cls(str(row.path), float(row.start_seconds), None if math.isnan(end) else end)

    @property
    def title(self) -> str:
        """File name, and the start where it is not the file's."""
        base = os.path.basename(self.path)
        return f"{base} at {self.start_seconds:.1f} s" if self.start_seconds else base


@dataclasses.dataclass(frozen=True)
class Quality:
    """How an excerpt is heard.

    Attributes:
      max_seconds: Longer ones are cut.
      compression: Of the codec, 0 best to 1 smallest.
      loudest: Whether the loudest part is taken, instead of the beginning.
      picture: Whether there is a log mel picture.
    """

    max_seconds: float = 5.0
    compression: float = 0.9
    loudest: bool = False
    picture: bool = True


CLEAR = Quality()
"""For listening: 5 s at about 23 kbit/s, 14 kB measured on ESC-50."""

LIGHT = Quality(max_seconds=2.0, compression=0.94, loudest=True, picture=False)
"""To recognise what a point on a map is: 2 s at about 18 kbit/s, 4.5 kB."""


@dataclasses.dataclass(frozen=True)
class Clip:
    """An excerpt, ready for a page.

    Attributes:
      identifier: What `data-clip` says.
      sound: Encoded; empty if the file could not be read.
      seconds: Length.
      log_mel: float32[frames, mels], or None.
      error: Why there is no sound.
    """

    identifier: str
    sound: bytes = b""
    seconds: float = 0.0
    log_mel: np.ndarray | None = None
    error: str = ""


class Clips:
    """The sounds of a page, each in it once.

    A file that cannot be read does not stop the page: its player says so.

    Args:
      workers: Threads that decode and encode; None: one for each CPU.
    """

    def __init__(self, workers: int | None = None):
        self._workers = workers
        self._clips: dict[Excerpt, Clip] = {}

    def add(self, excerpts: Iterable[Excerpt], quality: Quality = CLEAR) -> None:
        """Reads and encodes those that are not there yet, in whatever quality."""
        new = [found for found in dict.fromkeys(excerpts) if found not in self._clips]
        first = len(self._clips)
        if any(quality.picture for _ in new):
            _import_features()  # not in several threads at once
        with concurrent.futures.ThreadPoolExecutor(self._workers or os.cpu_count()) as pool:
            made = pool.map(
                lambda item: _make_clip(item[1], quality, f"c{first + item[0]}"), enumerate(new)
            )
            self._clips.update(zip(new, made, strict=True))

    def __getitem__(self, excerpt: Excerpt) -> Clip:
        """The clip of an excerpt that was added."""
        return self._clips[excerpt]

    def __len__(self) -> int:
        """Number of clips."""
        return len(self._clips)

    @property
    def unreadable(self) -> list[Clip]:
        """Those without sound."""
        return [clip for clip in self._clips.values() if not clip.sound]

    @property
    def span_seconds(self) -> float:
        """What the width of every picture stands for: the longest pictured clip."""
        pictured = [c.seconds for c in self._clips.values() if c.log_mel is not None]
        return max(pictured, default=1.0)

    def json(self) -> dict:
        """What the players need."""
        return {
            "type": _format()[2],
            "span": round(self.span_seconds, 3),
            "clips": {
                clip.identifier: base64.b64encode(clip.sound).decode("ascii")
                for clip in self._clips.values() if clip.sound
            },
        }

    def player(self, excerpt: Excerpt, label: str, span_seconds: float | None = None) -> str:
        """A button that plays an excerpt, its log mel picture on it if there is one.

        Args:
          excerpt: One that was added.
          label: What it is, for those who do not see the picture.
          span_seconds: What the width of its picture stands for; that of all pictures if None.

        Returns:
          HTML.
        """
        clip = self._clips[excerpt]
        spoken = text(f"{label}, {excerpt.title}".replace("_", " "))
        if not clip.sound:
            return (
                f'<span class="clip mute" role="img" aria-label="{spoken}: no sound" '
                f'title="{text(clip.error)}">no sound</span>'
            )
        seconds = f"{clip.seconds:.1f}\u202fs"
        span = span_seconds or self.span_seconds
        # A length is worth saying where it is not that of all the others.
        usual = clip.log_mel is not None and clip.seconds > 0.98 * span
        shown = "" if usual else f'<s aria-hidden="true">{seconds}</s>'
        picture = ""
        if clip.log_mel is not None:
            uri = picture_uri(clip.log_mel, span)
            picture = (
                f'<img src="{uri}" alt="log mel picture, {seconds}" width="250" height="64" '
                'decoding="async">'
            )
        return (
            f'<button type="button" class="clip{"" if picture else " bare"}" '
            f'data-clip="{clip.identifier}" data-span="{span:.3f}" aria-pressed="false" '
            f'aria-label="Play {spoken}" '
            f'data-title="{text(label).replace("_", " ")} · {text(excerpt.title)}">'
            f'{picture}<i aria-hidden="true"></i>{shown}</button>'
        )

    def picture_guide(
        self, excerpt: Excerpt, label: str, span_seconds: float | None = None
    ) -> str:
        """How to read the pictures: one of them, large, with its axes; nothing if it has none.

        Args:
          excerpt: One that was added.
          label: What it is.
          span_seconds: As for `player`.

        Returns:
          HTML.
        """
        clip = self._clips[excerpt]
        if clip.log_mel is None:
            return ""
        from audio_triplet.features import DEFAULT, hertz_to_mel

        low, high = (float(hertz_to_mel(hz)) for hz in (DEFAULT.mel_min_hz, DEFAULT.mel_max_hz))
        marks = "".join(
            f'<span style="bottom:{100 * (float(hertz_to_mel(hz)) - low) / (high - low):.1f}%">'
            f"{told}</span>"
            for hz, told in (
                (DEFAULT.mel_min_hz, "125 Hz"), (500, "500 Hz"), (1000, "1 kHz"), (2000, "2 kHz"),
                (4000, "4 kHz"), (DEFAULT.mel_max_hz, "7.5 kHz"),
            )
        )
        span = span_seconds or self.span_seconds
        times = "".join(
            f'<span style="left:{100 * tick / span:.1f}%">{tick:g}\u202fs</span>'
            for tick in ticks(0, span) if tick <= span * 1.001
        )
        return (
            '<figure class="guide"><div class="plot">'
            f'<img src="{picture_uri(clip.log_mel, span)}" width="250" height="64" '
            f'alt="log mel picture of {text(label)}, with axes: {span:.1f} s across, 125 Hz to '
            f'7.5 kHz upwards"><div class="hertz" aria-hidden="true">{marks}</div>'
            f'<div class="times" aria-hidden="true">{times}</div></div>'
            "<figcaption><b>How to read the pictures.</b> They are log mel energies, what the "
            f"network sees; this one is {name(label)}. Time runs to the right, and every picture"
            f"{' here' if span_seconds else ''} is {span:.1f}\u202fs wide, black where a sound "
            "is over; pitch runs upwards on the mel scale; bright is loud, white the loudest of "
            "each sound. For listening, levels were evened out.</figcaption></figure>"
        )


def _make_clip(excerpt: Excerpt, quality: Quality, identifier: str) -> Clip:
    try:
        waveform = read(excerpt, quality)
        return Clip(
            identifier,
            encode(waveform, quality.compression),
            len(waveform) / SAMPLE_RATE,
            _log_mel(waveform) if quality.picture else None,
        )
    except audio.AudioError as error:
        logging.warning("left out of the page: %s", error)
        return Clip(identifier, error=f"{error.reason}; {error.mend}")


def read(excerpt: Excerpt, quality: Quality = CLEAR) -> np.ndarray:
    """Decodes an excerpt as far as a page plays it.

    Returns:
      float32[samples], 16 kHz, mono, as in the file.

    Raises:
      AudioError: The file cannot be read, or holds nothing there.
    """
    seconds = EXCERPT_SECONDS if quality.loudest else min(EXCERPT_SECONDS, quality.max_seconds)
    if excerpt.end_seconds is not None:
        seconds = min(seconds, excerpt.end_seconds - excerpt.start_seconds)
    waveform = audio.read_piece(excerpt.path, excerpt.start_seconds, max(0.0, seconds), SAMPLE_RATE)
    if not len(waveform):
        raise audio.AudioError(excerpt.path, f"no sound at {excerpt.start_seconds} s")
    samples = round(quality.max_seconds * SAMPLE_RATE)
    if len(waveform) <= samples:
        return waveform
    energy = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
    step = SAMPLE_RATE // 10
    starts = np.arange(0, len(waveform) - samples + 1, step)
    start = starts[np.argmax(energy[starts + samples] - energy[starts])]
    return waveform[start : start + samples]


@functools.cache
def _format() -> tuple[str, str, str]:
    known = soundfile.available_formats()
    return next(entry for entry in _FORMATS if entry[0] in known)


def encode(waveform: np.ndarray, compression: float) -> bytes:
    """A small sound file for the ear.

    Raised to a peak of -3 dB, but by 18 dB at most [D]: field recordings differ so much in level
    that a page would be either silent or a shock. Cut ends are faded so that they do not click.

    Args:
      waveform: float32[samples], 16 kHz.
      compression: 0 best to 1 smallest.

    Returns:
      MP3 (or Ogg Vorbis where libsndfile cannot write MP3).
    """
    peak = float(np.abs(waveform).max(initial=0.0))
    waveform = waveform * min(_MAX_GAIN, _PEAK / peak) if peak > 0 else waveform.copy()
    fade = min(round(_FADE_SECONDS * SAMPLE_RATE), len(waveform) // 2)
    if fade:
        ramp = np.linspace(0, 1, fade, endpoint=False, dtype=np.float32)
        waveform[:fade] *= ramp
        waveform[-fade:] *= ramp[::-1]
    container, subtype, _ = _format()
    options = {"bitrate_mode": "AVERAGE"} if container == "MP3" else {}
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", SAMPLE_RATE, 1, format=container, subtype=subtype,
        compression_level=compression, **options,
    ) as file:
        file.write(waveform)
    return buffer.getvalue()


# --- pictures ------------------------------------------------------------------------------------


def _import_features():
    from audio_triplet import features

    return features


def _log_mel(waveform: np.ndarray) -> np.ndarray:
    """float32[pixels, mels], the front end's log mel, two frames a pixel."""
    features = _import_features()
    missing = features.DEFAULT.window_samples - len(waveform)
    mel = features.mel_energies(np.pad(waveform, (0, max(0, missing)))).numpy()
    group = _PICTURE_FRAMES_PER_PIXEL
    pixels = -(-len(mel) // group)
    mel = np.pad(mel, ((0, pixels * group - len(mel)), (0, 0)), mode="edge")
    return features.log_mel(mel.reshape(pixels, group, -1).mean(axis=1)).numpy()


@functools.cache
def _palette() -> bytes:
    import matplotlib

    colours = matplotlib.colormaps["magma"](np.linspace(0, 1, _PICTURE_LEVELS))[:, :3]
    return np.round(255 * colours).astype(np.uint8).tobytes()


def picture_uri(log_mel: np.ndarray, span_seconds: float) -> str:
    """A log mel picture as a data URI: time to the right, frequency upwards, loud is bright.

    Black is the front end's silence, log(0.01); white is the clip's own loudest cell. What is
    shorter than the span is black after its end, so that all pictures of a page share one clock.

    Args:
      log_mel: float32[pixels, mels], 20 ms a pixel.
      span_seconds: What the width stands for.

    Returns:
      `data:image/png;base64,...`, 32 colours.
    """
    from PIL import Image

    floor = math.log(_import_features().DEFAULT.log_offset)
    top = max(float(log_mel.max(initial=floor)), floor + _PICTURE_MIN_RANGE)
    levels = np.rint((log_mel - floor) / (top - floor) * (_PICTURE_LEVELS - 1))
    levels = np.clip(levels, 0, _PICTURE_LEVELS - 1).astype(np.uint8)
    hop = _import_features().DEFAULT.hop_seconds * _PICTURE_FRAMES_PER_PIXEL
    width = max(len(levels), math.ceil(span_seconds / hop))
    levels = np.pad(levels, ((0, width - len(levels)), (0, 0)))
    image = Image.fromarray(np.ascontiguousarray(levels.T[::-1]), mode="P")
    image.putpalette(_palette())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


# --- charts --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
      label: At its end.
      style: CSS class that gives the colour.
      x: Positions, ascending.
      y: Values; those that are not finite are left out.
    """

    label: str
    style: str
    x: Sequence[float]
    y: Sequence[float]


_CHART_WIDTH, _CHART_HEIGHT = 320, 210
_CHART_LEFT, _CHART_RIGHT, _CHART_TOP, _CHART_BOTTOM = 34, 74, 8, 34
_LABEL_GAP = 13


def line_chart(title: str, note: str, lines: Sequence[Line], x_label: str) -> str:
    """A chart of lines from zero, each with its name at its end, as a figure.

    Args:
      title: What is shown.
      note: How to read it.
      lines: At least one with a finite value; else the figure says that there is nothing.
      x_label: Name of the horizontal axis.

    Returns:
      HTML with inline SVG, coloured by the page's style.
    """
    kept = []
    for line in lines:
        points = [
            (float(x), float(y)) for x, y in zip(line.x, line.y, strict=True)
            if is_number(x) and is_number(y)
        ]
        if points:
            kept.append((line, points))
    heading, caption = f"<h3>{text(title)}</h3>", f"<figcaption>{text(note)}</figcaption>"
    if not kept:
        return (
            f'<figure class="chart">{heading}<p class="soft">Nothing was logged.</p>{caption}'
            "</figure>"
        )
    everything = [point for _, points in kept for point in points]
    x_low, x_high = min(x for x, _ in everything), max(x for x, _ in everything)
    y_ticks = ticks(min(0.0, *(y for _, y in everything)), max(y for _, y in everything))
    y_low, y_high = y_ticks[0], y_ticks[-1]
    right, bottom = _CHART_WIDTH - _CHART_RIGHT, _CHART_HEIGHT - _CHART_BOTTOM

    def place(x, y):
        across = (x - x_low) / ((x_high - x_low) or 1)
        up = (y - y_low) / ((y_high - y_low) or 1)
        return (
            _CHART_LEFT + across * (right - _CHART_LEFT), bottom - up * (bottom - _CHART_TOP)
        )

    parts = []
    digits = decimals(y_ticks)
    for tick in y_ticks:
        y = place(x_low, tick)[1]
        parts.append(
            f'<line class="grid" x1="{_CHART_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{_CHART_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{tick:.{digits}f}</text>"
        )
    for tick in ticks(x_low, x_high, 4):
        if x_low <= tick <= x_high:
            x = place(tick, y_low)[0]
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">'
                f"{tick:g}</text>"
            )
    parts.append(
        f'<text class="tick" x="{(_CHART_LEFT + right) / 2}" y="{_CHART_HEIGHT - 4}" '
        f'text-anchor="middle">{text(x_label)}</text>'
    )
    ends = spread([place(*points[-1])[1] for _, points in kept], _LABEL_GAP, _CHART_TOP, bottom)
    for (line, points), end in zip(kept, ends, strict=True):
        path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in points)
        parts.append(
            f'<polyline class="line {line.style}" points="{path}"/>'
            f'<text class="end {line.style}" x="{right + 6}" y="{end + 4:.1f}">'
            f"{text(line.label)}</text>"
        )
    told = "; ".join(
        f"{line.label} from {number(points[0][1])} to {number(points[-1][1])}"
        for line, points in kept
    )
    return (
        f'<figure class="chart">{heading}<svg viewBox="0 0 {_CHART_WIDTH} {_CHART_HEIGHT}" '
        f'role="img" aria-label="{text(title)}: {text(told)}">{"".join(parts)}</svg>{caption}'
        "</figure>"
    )


def class_bars(
    mine: Mapping[str, float | None], base: Mapping[str, float | None], title: str,
    base_title: str = "log mel",
) -> str:
    """Scores of each class as bars above a baseline's, the largest gain first.

    Args:
      mine: Class → score; those without a finite one, here or in `base`, are left out and counted.
      base: Class → the baseline's score.
      title: What `mine` is of, in a word or two.
      base_title: What `base` is of.

    Returns:
      HTML; empty if there is nothing to compare.
    """
    shown = [c for c in mine if is_number(mine[c]) and is_number(base.get(c))]
    if not shown:
        return ""
    shown.sort(key=lambda c: base[c] - mine[c])
    better = sum(mine[c] > base[c] for c in shown)
    left_out = len(set(mine) | set(base)) - len(shown)
    scale = max(max(mine[c], base[c]) for c in shown) or 1.0
    items = "".join(_class_bar(c, mine[c], base[c], scale, (title, base_title)) for c in shown)
    return (
        f"<p><b>{better} of {len(shown)} classes</b> are better off with {text(title)}."
        + (f" {left_out} without a figure are left out." if left_out else "")
        + f'</p><ol class="bars">{items}</ol>'
    )


def _class_bar(
    label: str, mine: float, base: float, scale: float, titles: tuple[str, str]
) -> str:
    gain = mine - base
    return (
        f'<li><span class="who">{name(label)}</span><span class="track" aria-hidden="true">'
        f'<i class="k-joint" style="--v:{max(0, mine) / scale:.3f}"></i>'
        f'<i class="k-log_mel" style="--v:{max(0, base) / scale:.3f}"></i></span>'
        f'<span class="what"><span class="hidden">{text(titles[0])} </span>{mine:.2f}'
        f'<span class="hidden">, {text(titles[1])} {base:.2f}, difference</span> '
        f'<em class="{"up" if gain > 0 else "down"}">{"+" if gain > 0 else "−"}{abs(gain):.2f}</em>'
        "</span></li>"
    )


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that enclose a range, about so many."""
    size = max(abs(low), abs(high))
    if not high - low > max(1e-9 * size, 1e-12):  # one value, as far as floats can tell
        high = low + (size if size > 1e-12 else 1.0)
    step = 10.0 ** math.floor(math.log10((high - low) / about))
    step *= next(factor for factor in (1, 2, 5, 10, 20) if (high - low) / (factor * step) <= about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def decimals(values: Sequence[float]) -> int:
    """Decimals that tell round numbers apart."""
    return next(
        (d for d in range(9) if all(abs(round(v, d) - v) < 1e-9 * max(1, abs(v)) for v in values)),
        9,
    )


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near those wanted, at least `gap` apart and, if they fit, within the range."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    places = [0.0] * len(wanted)
    lowest = low
    for index in order:
        places[index] = max(lowest, wanted[index])
        lowest = places[index] + gap
    highest = high
    for index in reversed(order):
        places[index] = min(highest, places[index])
        highest = places[index] - gap
    return places


def class_colour(index: int) -> str:
    """A colour for the index-th class, `#rrggbb`, at least 2.5 : 1 on light and on dark paper.

    Hues by the golden angle, so that any first few are far apart; two lightnesses alternate. More
    than about ten colours cannot be told apart by anyone: show shape and name as well.
    """
    lightness = (0.63, 0.53)[index % 2]
    hue = math.radians(250 + 137.508 * index)
    for chroma in np.linspace(0.15, 0.0, 16):
        red_green_blue = _oklab(lightness, chroma * math.cos(hue), chroma * math.sin(hue))
        if all(0 <= value <= 1 for value in red_green_blue):
            break
    return "#" + "".join(f"{round(255 * _gamma(value)):02x}" for value in red_green_blue)


def _oklab(lightness: float, a: float, b: float) -> tuple[float, float, float]:
    """Linear sRGB of an OKLab colour (Ottosson 2020)."""
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _gamma(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


# --- the page ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
      identifier: Its anchor.
      title: Its heading, plain text; also its name in the page's navigation.
      body: HTML.
    """

    identifier: str
    title: str
    body: str


def page(
    title: str,
    lede: str,
    sections: Sequence[Section],
    clips: Clips | None = None,
    data: dict[str, object] | None = None,
    style: str = "",
    scripts: Sequence[str] = (),
    footer: str = "",
) -> str:
    """A whole page.

    Args:
      title: Plain text.
      lede: HTML below the title: what was found.
      sections: In order; those without a body are left out.
      clips: The sounds that `data-clip` attributes name.
      data: Element id → what a script reads from it as JSON.
      style: CSS beyond the common one.
      scripts: JavaScript beyond the players'; they find `sounds.play(id, title)`, `sounds.stop()`.
      footer: HTML at the end.

    Returns:
      HTML.
    """
    sections = [section for section in sections if section.body]
    scripts = (PLAYER_SCRIPT, *scripts)
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"
        for code in scripts
    )
    policy = (
        f"default-src 'none'; img-src data:; media-src blob:; style-src 'unsafe-inline'; "
        f"script-src {hashes}; base-uri 'none'; form-action 'none'"
    )
    navigation = "".join(
        f'<li><a href="#{section.identifier}">{text(section.title)}</a></li>'
        for section in sections
    )
    main = "".join(
        f'<section id="{section.identifier}" aria-labelledby="{section.identifier}-h">'
        f'<h2 id="{section.identifier}-h">{text(section.title)}</h2>{section.body}</section>'
        for section in sections
    )
    blocks = [json_block("clips", clips.json() if clips else {"clips": {}})]
    blocks += [json_block(identifier, value) for identifier, value in (data or {}).items()]
    return "\n".join([
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{text(title)}</title>",
        '<link rel="icon" href="data:,">',
        f"<style>{STYLE}{style}</style>",
        "</head>",
        "<body>",
        '<a class="skip" href="#main">Skip to the content</a>',
        f'<header><h1>{text(title)}</h1><div class="lede">{lede}</div>',
        f'<nav aria-label="Sections"><ul>{navigation}</ul></nav>',
        "<noscript><p>Playing sound needs JavaScript; all else is here without it.</p></noscript>",
        "</header>",
        f'<main id="main">{main}</main>',
        f"<footer>{footer}</footer>",
        '<div id="now" role="status" hidden><button type="button" data-stop '
        'aria-label="Stop the sound">■</button><span></span></div>',
        *blocks,
        *(f"<script>{code}</script>" for code in scripts),
        "</body>",
        "</html>",
        "",
    ])


def write(path: str, content: str) -> None:
    """Writes a page, whole or not at all."""
    with open(f"{path}.tmp", "w", encoding="utf-8", newline="\n") as file:
        file.write(content)
    os.replace(f"{path}.tmp", path)


STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf7;--card:#fff;--ink:#1e2124;--soft:#5c6167;
--line:#e2dfd7;--accent:#0b6b73;--accent-ink:#fff;--wash:#e6f0f0;--plain:#8b8f94;--good:#26733a;
--bad:#ad3f26;--noise:#a8641f;--shift:#7357b5;--mix:#4c7f2e;--near:#b8457a;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
--serif:"Iowan Old Style",Charter,"Palatino Linotype",Palatino,P052,Georgia,serif}
@media (prefers-color-scheme:dark){:root{--paper:#15171a;--card:#1c1f23;--ink:#e7e5e0;
--soft:#a2a6ab;--line:#2d3137;--accent:#63c5c8;--accent-ink:#0d1415;--wash:#1c2e30;
--plain:#7d8288;--good:#7fca90;--bad:#f09a84;--noise:#dd9c58;--shift:#ab94ea;--mix:#8fc06f;
--near:#ec86b2}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth;scroll-padding-top:1rem}
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.55 var(--sans);
font-variant-numeric:tabular-nums;overflow-wrap:break-word}
header,main,footer{max-width:68rem;margin:0 auto;padding:0 clamp(1rem,4vw,2.5rem)}
header{padding-top:clamp(1.5rem,5vw,3.5rem)}
h1,h2,h3{font-family:var(--serif);font-weight:600;line-height:1.2;text-wrap:balance}
h1{font-size:clamp(1.7rem,1.2rem + 2.4vw,2.7rem);margin:0 0 .8rem;letter-spacing:-.01em}
h2{font-size:clamp(1.35rem,1.1rem + 1vw,1.75rem);margin:0 0 .6rem}
h3{font-size:1.15rem;margin:2rem 0 .3rem}
h4{font:600 1rem/1.3 var(--sans);margin:0}
h5{font:600 .85rem/1.3 var(--sans);margin:0}
p,.prose{max-width:66ch;margin:0 0 .9rem}
.lede{font:1.15rem/1.55 var(--serif);max-width:60ch}
.lede p{margin:0 0 .6rem}
.soft,figcaption{color:var(--soft)}
small,.small{font-size:.85rem}
a{color:var(--accent);text-underline-offset:.15em}
section{padding:2.2rem 0 1rem;border-top:1px solid var(--line);margin-top:1.8rem}
main>section:first-child{margin-top:1.2rem}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.2rem;list-style:none;margin:1.2rem 0 0;padding:0}
nav a{display:inline-block;padding:.3rem 0;font-size:.95rem}
.skip{position:absolute;left:-99rem}
.skip:focus{left:1rem;top:.5rem;background:var(--card);padding:.4rem .8rem;z-index:9}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:3px}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);
white-space:nowrap}
table{border-collapse:collapse;width:100%;margin:.8rem 0;font-size:.95rem}
caption{text-align:left;color:var(--soft);font-size:.9rem;padding-bottom:.5rem;max-width:66ch}
th,td{padding:.5rem .6rem;text-align:right;vertical-align:baseline;
border-bottom:1px solid var(--line);font-weight:400}
tbody th,thead tr:first-child th:first-child{text-align:left}
thead th{color:var(--soft);font-size:.82rem;line-height:1.3;vertical-align:bottom}
thead th[colspan]{text-align:center;border-bottom:0;color:var(--ink);font-weight:600;
padding-bottom:0}
tbody th{font-weight:600}
tbody th small{display:block;font-weight:400;color:var(--soft)}
tr.chosen th,tr.chosen td{background:var(--wash)}
figure{margin:0}
figcaption{font-size:.9rem;line-height:1.45;max-width:60ch;margin:0 0 .5rem}
figcaption b{color:var(--ink);font-weight:600}
svg{display:block;width:100%;height:auto}
svg text{font:11px var(--sans);fill:var(--ink)}
svg .tick{fill:var(--soft)}
.grid{stroke:var(--line);stroke-width:1}
.line{fill:none;stroke-width:1.7;stroke-linejoin:round;stroke:var(--c)}
svg text.end{fill:var(--c);font-weight:600}
svg text.end.k-log_mel{fill:var(--soft)}
.chart h3{font:600 .95rem/1.3 var(--sans);margin:0 0 .4rem}
.chart figcaption{margin:.4rem 0 0}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr));
gap:1.6rem 2rem;margin-top:1rem}
.k-joint{--c:var(--accent)}.k-explicit{--c:var(--ink)}.k-log_mel{--c:var(--plain)}
.k-gaussian_noise{--c:var(--noise)}.k-translation{--c:var(--shift)}.k-mixing{--c:var(--mix)}
.k-proximity{--c:var(--near)}
svg .line.k-joint{stroke-width:2.6}
.clip{position:relative;display:block;width:100%;padding:0;border:0;border-radius:5px;
overflow:hidden;background:#000004;color:#fff;cursor:pointer;font:inherit;line-height:0;
min-height:44px;text-align:left}
.clip img{display:block;width:100%;height:64px;object-fit:fill}
.clip i{position:absolute;left:6px;bottom:6px;width:22px;height:22px;border-radius:50%;
background:rgb(0 0 0/.6);box-shadow:0 0 0 1px rgb(255 255 255/.55)}
.clip i:before{content:"";position:absolute;left:8px;top:5.5px;border-left:9px solid #fff;
border-top:5.5px solid transparent;border-bottom:5.5px solid transparent}
.clip.playing i:before{left:6.5px;top:6.5px;width:9px;height:9px;border:0;background:#fff}
.clip:hover i,.clip.playing i{background:var(--accent)}
.clip:hover i:before{border-left-color:var(--accent-ink)}
.clip.playing i:before{background:var(--accent-ink)}
.clip s{position:absolute;right:5px;bottom:5px;font:11px/1 var(--sans);text-decoration:none;
background:rgb(0 0 0/.6);padding:2px 4px;border-radius:3px}
.clip:after{content:"";position:absolute;top:0;bottom:0;left:0;width:2px;background:#fff;
opacity:0;transform:translateX(-2px)}
.clip.playing:after{opacity:1;left:calc(var(--at,0)*100%)}
.clip.bare{display:inline-block;width:auto;min-width:92px;vertical-align:middle;
background:var(--wash);color:var(--ink)}
.clip.bare i{bottom:11px}.clip.bare s{bottom:16px;background:none}
.clip.bare:after{background:var(--accent)}
.clip.mute{color:#bbb;cursor:default;display:grid;place-items:center;font-size:.8rem}
#now{position:fixed;left:50%;bottom:max(.8rem,env(safe-area-inset-bottom));z-index:5;
transform:translateX(-50%);display:flex;gap:.6rem;align-items:center;max-width:92vw;
background:var(--ink);color:var(--paper);border-radius:2rem;padding:.3rem 1.1rem .3rem .3rem;
font-size:.9rem;box-shadow:0 3px 14px rgb(0 0 0/.25)}
#now[hidden]{display:none}
#now span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
#now button{border:0;border-radius:50%;width:34px;height:34px;background:var(--accent);
color:var(--accent-ink);cursor:pointer;flex:none;font-size:.8rem}
.guide{display:grid;grid-template-columns:minmax(0,26rem) minmax(14rem,1fr);gap:1rem 2.2rem;
align-items:center;margin:1.2rem 0}
.guide .plot{position:relative;padding:0 0 1.5rem 3.6rem}
.guide img{display:block;width:100%;height:9rem;border-radius:5px}
.hertz,.times{position:absolute;font-size:.75rem;line-height:1;color:var(--soft)}
.hertz{left:0;top:0;bottom:1.5rem;width:3.2rem}
.times{left:3.6rem;right:0;bottom:0;height:1.1rem}
.hertz span,.times span{position:absolute;white-space:nowrap}
.hertz span{right:0;transform:translateY(50%)}.times span{transform:translateX(-50%)}
.hertz span:first-child{transform:none}.hertz span:last-child{transform:translateY(100%)}
.times span:first-child{transform:none}.times span:last-child{transform:translateX(-90%)}
dl.facts{display:grid;grid-template-columns:minmax(7rem,auto) 1fr;gap:.35rem 1.4rem;
font-size:.92rem;margin:0 0 1rem}
dl.facts dt{color:var(--soft)}
dl.facts dd{margin:0;min-width:0;overflow-wrap:anywhere}
code,pre{font:.88em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--card);padding:1rem;
border:1px solid var(--line);border-radius:6px}
.key{white-space:nowrap;margin-right:.8rem}
.key:before{content:"";display:inline-block;width:1.6em;height:.5em;border-radius:2px;
background:var(--c);margin-right:.4em;vertical-align:.1em}
.bars{list-style:none;margin:0;padding:0;columns:2;column-gap:3rem;font-size:.88rem}
.bars li{display:grid;grid-template-columns:minmax(6.5rem,9.5rem) 1fr 5.4rem;gap:.7rem;
align-items:center;break-inside:avoid;padding:.2rem 0;line-height:1.2}
.track i{display:block;height:6px;border-radius:0 3px 3px 0;background:var(--c);margin:2px 0;
width:max(2px,calc(var(--v)*100%))}
.track .k-log_mel{height:4px}
.what{text-align:right;white-space:nowrap}
.what em{font-style:normal;color:var(--soft);display:inline-block;min-width:2.9rem}
.what em.up{color:var(--good)}.what em.down{color:var(--bad)}
summary{cursor:pointer;color:var(--accent);padding:.35rem 0}
footer{color:var(--soft);font-size:.85rem;padding-top:1rem;padding-bottom:5rem}
@media (max-width:44rem){
table.stack,table.stack tbody,table.stack tr,table.stack th,table.stack td,
table.stack caption{display:block}
table.stack thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table.stack tr{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));
gap:.1rem 1.4rem;padding:.7rem .6rem;
margin:0 -.6rem;border-bottom:1px solid var(--line)}
table.stack tr.chosen{background:var(--wash);border-radius:6px}
table.stack th,table.stack td{border:0;padding:.1rem 0;background:none!important}
table.stack tbody th{grid-column:1/-1;padding-bottom:.3rem}
table.stack td{display:flex;justify-content:space-between;gap:.5rem}
table.stack td:before{content:attr(data-label);color:var(--soft);font-size:.85rem}
.bars{columns:1}
.bars li{grid-template-columns:7rem 1fr 5.2rem}
.guide{grid-template-columns:1fr}
dl.facts{grid-template-columns:1fr;gap:0}
dl.facts dd{margin-bottom:.5rem}
}
@media (prefers-reduced-motion:reduce){*{transition:none!important;scroll-behavior:auto!important}}
@media print{:root{--paper:#fff}nav,#now,.skip,.clip i{display:none!important}
section{break-before:auto}figure,tr,article{break-inside:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""

# One audio element; sounds become blobs when first played. `sounds` is what other scripts use.
PLAYER_SCRIPT = """
"use strict";
const sounds = (() => {
  const audio = new Audio(), urls = new Map(), now = document.getElementById("now");
  let store = null, button = null, frame = 0;
  function url(id) {
    store ??= JSON.parse(document.getElementById("clips").textContent);
    if (!urls.has(id) && store.clips[id]) {
      const bytes = Uint8Array.from(atob(store.clips[id]), (c) => c.charCodeAt(0));
      urls.set(id, URL.createObjectURL(new Blob([bytes], {type: store.type})));
    }
    return urls.get(id);
  }
  function mark(on) {
    if (!button) return;
    button.classList.toggle("playing", on);
    button.setAttribute("aria-pressed", on);
  }
  function stop() {
    audio.pause();
    cancelAnimationFrame(frame);
    mark(false);
    button = null;
    now.hidden = true;
  }
  function follow() {
    if (button) button.style.setProperty("--at", audio.currentTime / button.dataset.span);
    frame = requestAnimationFrame(follow);
  }
  function play(id, title, element = null) {
    stop();
    const source = url(id);
    if (!source) return Promise.resolve(false);
    audio.src = source;
    button = element;
    mark(true);
    now.lastElementChild.textContent = title;
    now.hidden = false;
    if (element) follow();
    return audio.play().then(() => true, (error) => {
      // Until the first click or key a browser keeps a page silent; a newer sound aborts this one.
      if (error.name !== "AbortError") stop();
      return false;
    });
  }
  audio.addEventListener("ended", stop);
  document.addEventListener("click", (event) => {
    const pressed = event.target.closest("[data-clip],[data-stop]");
    if (!pressed) return;
    if (pressed.hasAttribute("data-stop") || pressed === button) stop();
    else play(pressed.dataset.clip, pressed.dataset.title || "", pressed);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") stop(); });
  return {play, stop};
})();
"""
