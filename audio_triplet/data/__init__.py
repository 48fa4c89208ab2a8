"""Sound on disk → batches of triplets.

In: a manifest, which says for every sound its file, its recording and its side of an experiment.
Out: batches of triplets as a `tf.data.Dataset`. The n-th batch depends on the seed and n alone,
whether the sound is decoded on the fly or read from prepared shards.

In reading order:

- `manifest`: the table of segments.
- `manifest_csv`: that table as CSV: reading, checking, writing.
- `spreadsheet`: encodings, separators, names and times as spreadsheets write them.
- `splits`: which segments train and which test.
- `keys`: stable numbers for names.
- `bad_files`: sound that could not be used, and its list `bad_files.csv`.
- `chunks`: which chunks of up to 10.56 s the segments have.
- `sources`: what a source of chunks offers, and the order in which chunks are visited.
- `file_source`: chunks decoded from sound files on the fly.
- `decoded_cache`: decoded sound, kept for the next epoch.
- `prepared`: the metadata of a folder of shards.
- `shard_format`: the record of a shard.
- `shard_index`: the position of every chunk in the shards, so that single patches can be read.
- `shard_source`: chunks, and single patches, from shards.
- `drawing`: at which frames of a chunk the patches of a triplet begin.
- `batching`: visits → draws → patches → batches of triplets.
- `resident`: the same on the device, from a corpus that lies in its memory.

`manifest` to `chunks`, and `prepared`, do not import TensorFlow, so that corpus tools, `--help` and
the layout of shards start at once.
"""
