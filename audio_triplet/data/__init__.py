"""Sound on disk → batches of triplets.

In comes a manifest: which sound is where, from which recording, on which side of an experiment.
Out go batches of triplets as a `tf.data.Dataset`, the n-th of them a function of the seed and n
alone, whether the sound is decoded on the fly or read from prepared shards.

In reading order:

- `manifest`: the table of segments, its type and what is asked of it.
- `manifest_csv`: that table as CSV: reading, checking, writing.
- `spreadsheet`: encodings, separators, names and times as spreadsheets write them.
- `splits`: which segments train and which test.
- `keys`: numbers that names are known by.
- `bad_files`: sound that could not be used, and its list `bad_files.csv`.
- `chunks`: which chunks of up to 10.56 s the segments have.
- `sources`: what a source of chunks offers, and the order in which chunks are visited.
- `file_source`: chunks decoded from sound files on the fly.
- `decoded_cache`: what was decoded, kept for the next epoch.
- `prepared`: what a folder of shards says of itself.
- `shard_format`: the record of a shard.
- `shard_index`: where in the shards every chunk is, so that single patches can be read.
- `shard_source`: chunks, and single patches, from shards.
- `drawing`: where in a chunk the patches of a triplet begin.
- `batching`: visits → draws → patches → batches of triplets.

`manifest` to `chunks`, and `prepared`, do without TensorFlow, so that corpus tools, `--help` and
the laying out of what is to be prepared start at once.
"""
