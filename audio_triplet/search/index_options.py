"""What a new index may be told. Apart from the index itself, so that `--help` starts at once."""

DTYPES = ("float32", "float16")
KINDS = ("ivf", "hnsw")

# Vectors from which FAISS is worth its memory and its misses; below, exact search is quick.
FAISS_FROM = 1_000_000
