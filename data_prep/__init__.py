"""Sound files → TFRecord shards of mel energies, on one machine or many; run from a checkout.

In comes a manifest (`audio_triplet.data.manifest`), out goes a prepared folder, which
`audio_triplet.data.shard_source` reads. In reading order:

- `prepare`: the command.
- `preparation`: the sequence, from the manifest to the finished folder.
- `layout`: what each shard is to hold, written down before any sound is decoded.
- `write_shards`: one shard, from its layout alone.
- `engine`: who reads headers and writes shards: threads of this process.
- `beam`: the same by workers of an Apache Beam pipeline.
- `debian_sounds`: fetches a corpus of its own, from Debian's packages.
"""
