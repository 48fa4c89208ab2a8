"""Sound files → TFRecord shards of mel energies, on one machine or many; run from a checkout.

In: a manifest (`audio_triplet.data.manifest`). Out: a prepared folder, which
`audio_triplet.data.shard_source` reads. In reading order:

- `prepare`: the command.
- `preparation`: all steps, from the manifest to the finished folder.
- `layout`: the content of each shard, written down before any sound is decoded.
- `write_shards`: one shard, from its layout alone.
- `engine`: reading headers and writing shards by threads of this process.
- `beam`: the same by workers of an Apache Beam pipeline.
- `debian_sounds`: the command that downloads the corpus debian-sounds.
"""
