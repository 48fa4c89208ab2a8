"""Sound to vectors: a trained encoder as a file, embeddings by it, and embeddings in files.

In: sound (files, arrays, prepared shards) and an encoder. Out: an `EmbeddingSet`, the
container of vectors with the segments that they are of; search, classify and the tables work on it.

In reading order:

    saved_model.py       an encoder as a SavedModel: waveform in, embeddings out; `Model` loads one
    model_files.py       where models lie, and their digests
    sounds.py            sound block by block, of a file or of an array
    patch_cutting.py     the same cut into patches
    decoding.py          many files decoded and cut in threads
    embed.py             `embed_files`, `embed_stream`, `embed_shards`: patches to vectors
    embedding_set.py     `EmbeddingSet`: vectors, their segments, and what is known of them
    set_files.py         the same in a file: .npz or Parquet
    folder.py            a folder of such files that goes on where it was stopped
    representations.py   what is compared with a trained encoder: log mel
    conversion.py        an export for TensorFlow Lite and ONNX
    projector.py         an `EmbeddingSet` for TensorBoard's Embedding Projector
"""
