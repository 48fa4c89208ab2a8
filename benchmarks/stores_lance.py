"""LanceDB for `benchmarks.stores`; runs in an environment that has lancedb, and nothing of ours.

VENV/bin/python benchmarks/stores_lance.py FOLDER      prints a line of JSON
"""

import json
import os
import sys
import time

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import IvfPq
from stores_asking import Memory, asked  # its folder is that of this script

_BLOCK = 1 << 17


def main(folder: str) -> dict:
    """Builds a table and its index, and asks it."""
    vectors = np.load(os.path.join(folder, "vectors.npy"), mmap_mode="r")
    place = os.path.join(folder, "lance")
    dim = vectors.shape[1]
    schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float16(), dim))])

    def batches():
        for first in range(0, len(vectors), _BLOCK):
            block = np.array(vectors[first : first + _BLOCK])
            rows = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel(), pa.float16()), dim)
            numbers = pa.array(np.arange(first, first + len(block)))
            yield pa.record_batch([numbers, rows], schema)

    partitions = 1 << round(np.log2(np.sqrt(len(vectors))))
    with Memory() as memory:
        begin, processor = time.monotonic(), time.process_time()
        database = lancedb.connect(place)
        table = database.create_table("vectors", batches(), schema=schema)
        written = _bytes(place)
        options = {"num_partitions": partitions, "num_sub_vectors": dim // 4}
        table.create_index("vector", config=IvfPq(distance_type="dot", **options))
        seconds = time.monotonic() - begin
        processor = time.process_time() - processor

    def ask(query, probes, factor):
        search = table.search(query).distance_type("dot").nprobes(probes).refine_factor(factor)
        return search.select(["id"]).limit(10).to_arrow()["id"].to_numpy()

    ways = []
    for probes in (16, 32, 64):
        for factor in (10, 40):
            way = f"{probes} of {partitions} lists, {10 * factor} scored anew"
            ways.append(
                {"way": way} | asked(folder, lambda q: ask(q, probes, factor))  # noqa: B023
            )
    return {
        "build_seconds": seconds,
        "build_processor_seconds": processor,
        "build_gb": memory.gigabytes,
        "file_gb": (_bytes(place) - written) / 1e9,
        "ways": ways,
    }


def _bytes(folder: str) -> int:
    return sum(
        os.path.getsize(os.path.join(current, name))
        for current, _, names in os.walk(folder)
        for name in names
    )


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
