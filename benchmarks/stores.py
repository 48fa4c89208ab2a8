r"""Ten million vectors: FAISS's product quantiser over our parts, against LanceDB.

    python -m benchmarks.stores --corpus=esc50:DIR --more=debian-sounds:DIR \
        --lance_python=VENV/bin/python --output_dir=results

Embeddings of the corpora's patches by the released model are repeated with noise (of a third of the
deviation of each dimension), as float16 on disk. Queries are further such repetitions. What is
nearest is known exactly, from products in float64. Each store is built in a process of its own, on
all cores, from blocks that are read one after the other; its memory is that beyond pages of files.
A query is asked alone, after others have warmed the files up. FAISS: inverted lists of codes of the
product quantiser, memory-mapped; as many candidates as --candidates say are scored anew by the
float16 vectors. LanceDB does the same (`refine_factor`) by its own means, in
an environment of its own (`pip install lancedb "numpy>=2"`), whose Python --lance_python names.

Goals at 10,000,000 × 128 on two cores: built in 30 minutes with 4 GB; 20 ms a query at recall 0.9
of ten; files of 1.5 GB beside the float16 vectors.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence

import numpy as np
from absl import flags

from audio_triplet.errors import UsageError
from benchmarks import harness
from benchmarks.scaling.settings import ALL_PARTS
from benchmarks.stores_asking import Memory, asked

_DIM, _TOP, _BLOCK, _NOISE = 128, 10, 1 << 17, 1 / 3
_PROBES = (8, 16, 32, 64)
_GOAL_MINUTES, _GOAL_GB, _GOAL_MS, _GOAL_RECALL, _GOAL_FILE_GB = 30.0, 4.0, 20.0, 0.9, 1.5


def measure() -> dict[str, list[harness.Table]]:
    """One table, goals for the quickest way of each store that finds enough."""
    values = flags.FLAGS
    if not values.corpus:
        raise UsageError("--corpus is missing; name the sounds to embed, e.g. esc50:DIR")
    with tempfile.TemporaryDirectory(dir=values.work_dir or None) as folder:
        folder = os.path.abspath(folder)  # other processes, of other working folders, read it
        corpora = [values.corpus, *filter(None, [values.more])]
        seconds = make(folder, corpora, values.vectors, values.queries)
        table = harness.Table(
            f"Stores of {values.vectors:,} vectors",
            f"{_DIM} dimensions, float16; {values.queries} queries one by one, the best ten of "
            f"them; {harness.cores()} cores",
        )
        table.add("float16 vectors", 2 * _DIM * values.vectors / 1e9, "GB")
        table.add("exact, float64, a query", 1000 * seconds / values.queries, "ms")
        found = []
        for code in map(int, values.codes):
            name = f"FAISS, {code} bytes a vector"
            result, _ = harness.in_child(
                "benchmarks.stores:faiss_store",
                folder=folder,
                code=code,
                candidates=[int(number) for number in values.candidates],
            )
            found.append((name, result))
            _tell(table, name, result)
        if values.lance_python:
            found.append(("LanceDB", _lance(values.lance_python, folder)))
            _tell(table, *found[-1])
        else:
            table.add("LanceDB", None, note="skipped: no --lance_python")
        for name, result in found:
            _judge(table, name, result)
    return {"stores": [table]}


def _tell(table: harness.Table, name: str, result: dict) -> None:
    table.add(
        name,
        result["build_seconds"] / 60,
        "min to build",
        more={
            "processor min to build": result["build_processor_seconds"] / 60,
            "GB to build": result["build_gb"],
            "GB of files": result["file_gb"],
        },
    )
    for way in result["ways"]:
        table.add(
            f"{name}: {way['way']}",
            way["ms"],
            "ms a query",
            more={
                "recall of ten": way["recall"],
                "ms, 95 %": way["ms_95"],
                "processor ms": way["processor_ms"],
            },
        )


def _judge(table: harness.Table, name: str, result: dict) -> None:
    enough = [way["ms"] for way in result["ways"] if way["recall"] >= _GOAL_RECALL]
    goals = (
        ("min to build", result["build_seconds"] / 60, _GOAL_MINUTES),
        ("GB to build", result["build_gb"], _GOAL_GB),
        ("GB of files", result["file_gb"], _GOAL_FILE_GB),
        (f"ms a query at recall {_GOAL_RECALL:g}", min(enough, default=np.inf), _GOAL_MS),
    )
    for what, got, wanted in goals:
        table.goal(f"{name}, {what}", got, wanted, at_most=True)


def make(folder: str, corpora: Sequence[str], count: int, queries: int, seed: int = 0) -> float:
    """Writes vectors.npy, queries.npy and truth.npy; seconds that exact search took."""
    harness.progress(f"embedding {' and '.join(corpora)}")
    base = np.concatenate([_embedded(corpus) for corpus in corpora])
    spread = _NOISE * base.std(axis=0)
    rng = np.random.default_rng(seed)

    def drawn(number: int) -> np.ndarray:
        found = base[rng.integers(len(base), size=number)]
        found = found + spread * rng.standard_normal(found.shape, np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    asked = drawn(queries).astype(np.float32)
    np.save(os.path.join(folder, "queries.npy"), asked)
    harness.progress(f"{count:,} vectors of {len(base):,} real ones")
    path = os.path.join(folder, "vectors.npy")
    vectors = np.lib.format.open_memmap(path, "w+", np.float16, (count, _DIM))
    for first in range(0, count, _BLOCK):
        vectors[first : first + _BLOCK] = drawn(min(_BLOCK, count - first))
    vectors.flush()
    del vectors
    harness.progress("what is nearest")
    begin, best = time.monotonic(), np.full((queries, 0), -np.inf)
    numbers = np.zeros((queries, 0), np.int64)
    wide = asked.astype(np.float64)
    for first, block in _blocks(path):
        scores = np.concatenate([best, wide @ block.astype(np.float64).T], axis=1)
        number = np.broadcast_to(np.arange(first, first + len(block)), (queries, len(block)))
        number = np.concatenate([numbers, number], axis=1)
        keep = np.argpartition(-scores, _TOP - 1, axis=1)[:, :_TOP]
        best = np.take_along_axis(scores, keep, 1)
        numbers = np.take_along_axis(number, keep, 1)
    np.save(os.path.join(folder, "truth.npy"), numbers)
    return time.monotonic() - begin


def _embedded(corpus: str) -> np.ndarray:
    """float32[n, 128], embeddings of a corpus's patches; or what an .npz of them holds."""
    if corpus.endswith(".npz"):
        with np.load(corpus) as file:
            return np.concatenate([file[name] for name in file.files if "vectors" in name])
    from audio_triplet.corpora import registry
    from audio_triplet.embeddings import embed, model_files, saved_model

    model = saved_model.Model(model_files.released_model_path())
    return embed.embed_manifest(model, registry.load_corpus(corpus)).vectors


def _blocks(path: str) -> Iterator[tuple[int, np.ndarray]]:
    """Number of the first, and float16[n, 128]; read, not mapped, so that memory can be told."""
    with open(path, "rb") as file:
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
        for first in range(0, shape[0], _BLOCK):
            count = min(_BLOCK, shape[0] - first)
            yield first, np.fromfile(file, np.float16, count * _DIM).reshape(count, _DIM)


def faiss_store(folder: str, code: int, candidates: list[int]) -> dict:
    """Builds and asks FAISS; for a process of its own."""
    import faiss

    faiss.omp_set_num_threads(harness.cores())
    path, file = os.path.join(folder, "vectors.npy"), os.path.join(folder, f"faiss-{code}.bin")
    vectors = np.load(path, mmap_mode="r")
    with Memory() as memory:
        begin, processor = time.monotonic(), time.process_time()
        lists = 1 << round(np.log2(np.sqrt(len(vectors))))
        built = faiss.index_factory(_DIM, f"IVF{lists},PQ{code}", faiss.METRIC_INNER_PRODUCT)
        drawn = np.random.default_rng(1).choice(len(vectors), min(len(vectors), 64 * lists), False)
        built.train(vectors[np.sort(drawn)].astype(np.float32))
        trained = time.monotonic() - begin
        for _, block in _blocks(path):
            built.add(block.astype(np.float32))
        faiss.write_index(built, file)
        seconds = time.monotonic() - begin
        processor = time.process_time() - processor
    harness.progress(f"IVF{lists},PQ{code}: {trained:.0f} s to train, {seconds:.0f} s in all")
    del built
    opened = faiss.read_index(file, faiss.IO_FLAG_MMAP)

    def ask(query: np.ndarray, probes: int, wanted: int) -> np.ndarray:
        parameters = faiss.SearchParametersIVF(nprobe=probes)
        _, ids = opened.search(query[None], wanted, params=parameters)
        ids = np.sort(ids[0][ids[0] >= 0])
        scores = vectors[ids].astype(np.float32) @ query
        return ids[np.argsort(-scores)[:_TOP]]

    ways = []
    for probes in _PROBES:
        for wanted in candidates:
            way = f"{probes} of {lists} lists, {wanted} scored anew"
            ways.append({"way": way} | asked(folder, lambda q: ask(q, probes, wanted)))  # noqa: B023
    return {
        "build_seconds": seconds,
        "build_processor_seconds": processor,
        "build_gb": memory.gigabytes,
        "file_gb": os.path.getsize(file) / 1e9,
        "ways": ways,
    }


def _lance(python: str, folder: str) -> dict:
    """Builds and asks LanceDB, in its own environment."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stores_lance.py")
    done = subprocess.run([python, script, folder], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"{python}: {' '.join(done.stderr.split())[-400:]}; install lancedb there")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    flags.DEFINE_integer("vectors", 10_000_000, "How many.", lower_bound=1000)
    flags.DEFINE_integer("queries", 100, "How many.", lower_bound=1)
    flags.DEFINE_string("more", "", "A second corpus, whose embeddings are taken too.")
    flags.DEFINE_list("codes", ["32", "64"], "Bytes a vector of FAISS's codes.")
    flags.DEFINE_list("candidates", ["100", "400", "1000"], "How many FAISS's answers are scored.")
    flags.DEFINE_string("lance_python", "", "Python of an environment that has lancedb.")
    flags.DEFINE_string("work_dir", "", "Folder for the vectors, 0.26 GB a million.")
    harness.main(measure, parts=ALL_PARTS, name="scaling")
