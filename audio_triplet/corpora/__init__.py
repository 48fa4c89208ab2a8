"""Corpora: published ones, folders and tables of sound, each read into one kind of table.

In: a `--corpus` string such as `esc50:DIR` or `folders:DIR`. Out: a `data.manifest.Manifest`, one
row per segment with absolute path, recording, labels and split; or a `CorpusError`.

Files, in reading order:

| file | what |
|---|---|
| `registry` | the string → the adapter that reads it; the one table of adapters |
| `folders` | one folder per class, or none |
| `passed_over` | what a scan did not take for sound, counted |
| `mirrors` | where a copy has its table and clips |
| `published` | what adapters of published tables share: read a table, find its clips, count |
| `esc50`, `urbansound8k`, `fsd50k` | an adapter each |
| `parquet`, `webdataset` | sound inside tables and tar files |
| `fields` | which of their columns or keys is the label, the recording, the split |
| `audioset` | AudioSet: which segments are asked for, and which of them there are |
| `audioset_tables` | its published tables: segments, label list, ontology |
| `audioset_strong` | its strong labels, as moments |
| `audioset_files` | which sound file holds which segment |
| `debian_sounds/` | recorded sounds of Debian packages, downloaded |
"""
