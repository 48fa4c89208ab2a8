"""Corpora: published ones, folders and tables of sound, each read into a manifest.

In: a `--corpus` string such as `esc50:DIR` or `folders:DIR`. Out: a `data.manifest.Manifest`, one
row per segment with absolute path, recording, labels and split; or a `CorpusError`.

Files, in reading order:

| file | what |
|---|---|
| `registry` | the string → the adapter that reads it; the table of adapters |
| `folders` | one folder per class, or none |
| `published` | shared by adapters of published tables: read a table, find its clips, count |
| `esc50`, `urbansound8k`, `fsd50k` | an adapter each |
| `audioset` | AudioSet: the requested segments, and those whose audio is there |
| `audioset_tables` | its published tables: segments, label list, ontology |
| `audioset_files` | finding the sound file of each segment |
| `debian_sounds/` | recorded sounds of Debian packages, downloaded |
"""
