"""A colour for every class, seen on light and on dark paper."""

from __future__ import annotations

import math

import numpy as np

UNLABELLED = "#85898d"


def class_colour(index: int) -> str:
    """A colour for the index-th class, `#rrggbb`, at least 2.5 : 1 on light and on dark paper.

    Hues by the golden angle, so that the first few are far apart; two lightnesses alternate. Nobody
    can distinguish more than about ten colours: show shape and name as well.
    """
    lightness = (0.63, 0.53)[index % 2]
    hue = math.radians(250 + 137.508 * index)
    for chroma in np.linspace(0.15, 0.0, 16):
        red_green_blue = _linear_srgb(lightness, chroma * math.cos(hue), chroma * math.sin(hue))
        if all(0 <= value <= 1 for value in red_green_blue):
            break
    return "#" + "".join(f"{round(255 * _gamma(value)):02x}" for value in red_green_blue)


def _linear_srgb(lightness: float, a: float, b: float) -> tuple[float, float, float]:
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
