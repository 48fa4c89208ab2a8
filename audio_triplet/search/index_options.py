"""What a new index may be told. Apart from the index itself, so that `--help` starts at once."""

DTYPES = ("float32", "float16")
KINDS = ("ivf", "hnsw", "ivfpq")

# Vectors from which FAISS is worth its memory and its misses; below, exact search is quick.
FAISS_FROM = 1_000_000

# [D] Vectors from which FAISS keeps codes of half a byte a dimension instead of the vectors: ten
# million then take 0.7 GB, not 2.6 or 5.1 (`benchmarks.stores`).
CODED_FROM = 4_000_000
