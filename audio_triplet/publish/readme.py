"""README.txt of a site: what is in it, and under whose licence."""

from __future__ import annotations

from collections.abc import Sequence

from audio_triplet.publish import runtime
from audio_triplet.publish.archive import Archive
from audio_triplet.web import formatting

_SOUNDS = {
    "opus": "sounds/         pieces of the recordings, Opus, mono, 24 kHz: {much} of each\n",
    "copy": "sounds/         the recordings\n",
    "none": "",
}

_FORMS = {
    "whole": """vectors.i8, scales.f32
                {vectors:,} vectors in 8 bits; {recall:.3f} of the ten nearest
                by 32 bits are the ten nearest by these
fine/           8 bits more of them, looked at where something was found
""",
    "parts": """landmarks.i8, landmarks.f32, cells.u16.gz
                of {vectors:,} vectors the nearest of some landmarks, by which a page finds
                what to fetch
coarse/, centres.f32
                16 bytes more of each, fetched where something may be found
parts/          the same in 16 bits, fetched where something was found
""",
}


def text(
    title: str,
    licence: str,
    archive: Archive,
    *,
    form: str,
    kind: str,
    seconds: float,
    has_map: bool,
    credits: Sequence[str],
) -> str:
    """The text.

    Args:
      title: Of the page.
      licence: Of the recordings; empty: not stated.
      archive: What is published.
      form: `whole` or `parts`.
      kind: One of `sounds.KINDS`.
      seconds: Of each file so much as Opus; 0: all.
      has_map: Whether there is a map.
      credits: A line of each.
    """
    vectors = _FORMS[form].format(vectors=len(archive.owners), recall=archive.recall)
    told = _SOUNDS[kind].format(much=f"the first {seconds:g} s" if seconds else "all")
    if has_map:
        told += "map.f32, map.u32.gz\n                places of moments on the map\n"
    said = "".join(f"\n{formatting.clean(line)}" for line in credits)
    return f"""{formatting.clean(title)}

An archive of {len(archive.files):,} recordings that searches itself in a browser. Put this folder
on any web server, below any address; on one machine: python -m http.server

index.html      the page
static/         its styles and scripts
service.js      opens the page without a network, where it was open before
runtime/        LiteRT for browsers (Apache License 2.0), versions
                {", ".join(package.file for package in runtime.PACKAGES)}
encoder.tflite  the network that sounds are compared by
archive.json, names.json.gz
                what a page reads first; names, times and labels
spans.f64.gz, segments.u32.gz
                the moments that vectors are of
{vectors}constants.f32, words.f32
                mean and map by which likeness is measured; vectors of the words
{told}
Licence of the recordings: {formatting.clean(licence) or "not stated"}
{said and f"Files, and what is said of them:{said}"}
"""
