"""Files of a site that are packed: pages unpack them by the browser's own gzip.

A host that packs by itself does not have to, and `python -m http.server` cannot.
"""

from __future__ import annotations

import gzip

import numpy as np

_LEVEL = 6


def packed(content: bytes) -> bytes:
    """Bytes by gzip; the same for the same bytes."""
    return gzip.compress(content, _LEVEL, mtime=0)


def planes(array: np.ndarray) -> bytes:
    """An array by gzip, all first bytes of its items before all second ones.

    Times that come back with every recording pack well so.
    """
    array = np.ascontiguousarray(array)
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    items = little.reshape(-1).view(np.uint8).reshape(-1, array.dtype.itemsize)
    return packed(items.T.tobytes())
