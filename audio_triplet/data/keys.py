"""Stable numbers for names: of recordings and chunks in shards, of segments in an index.

Without pandas, which takes longer to import than `--help` may.
"""

import hashlib


def key_of(*names: object) -> int:
    """A stable non-negative int64 for a name, the same on every machine and in every run."""
    text = "\0".join(str(name) for name in names)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
