"""Sound to vectors: a trained encoder as a file, embeddings by it, and embeddings in files.

In: sound (files, arrays, prepared shards) and an encoder. Out: an `EmbeddingSet`, which holds
vectors and the segments they belong to; search, classify and the tables work on it.

In reading order:

    saved_model.py       an encoder as a SavedModel: waveform in, embeddings out; `Model` loads one
    model_files.py       finding models, and their digests
    sounds.py            sound block by block, of a file or of an array
    patch_cutting.py     the same cut into patches
    decoding.py          many files decoded and cut in threads
    sound_embedding.py   `SoundEmbedding`: one sound, embedded by any model
    embed.py             `embed_files`, `embed_stream`, `embed_shards`: patches to vectors
    embedding_set.py     `EmbeddingSet`: vectors, their segments, and their origin
    loudness.py          how much a patch of a sound counts
    description.py       mean, deviation, maximum of a segment's patches: for classifiers
    set_files.py         the same in a file: .npz or Parquet
    quick_model.py       a model for queries: its encoder by LiteRT, without TensorFlow
    mnn_encoder.py       the same file by MNN, for many patches
    encoder_file.py      writing the file that it needs, beside an export and into an index
    native_log.py        what native libraries print on their own
    folder.py            filling a folder with such files; after a stop it continues
    embed_pipeline.py    the same by the workers of a Beam pipeline
    long_recordings.py   a long recording, cut over them
    worker_model.py      what a worker does with a model
    representations.py   representations without training: log mel
    conversion.py        an export for TensorFlow Lite and ONNX
    projector.py         an `EmbeddingSet` for TensorBoard's Embedding Projector
"""
