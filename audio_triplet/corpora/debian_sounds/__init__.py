"""debian-sounds: recorded, freely licensed sounds from Debian packages, as a labelled corpus.

In: names of Debian packages or of sets of them. Out: a folder of sound files and a `Manifest`.

Files, in reading order:

| file | what |
|---|---|
| `corpus` | the corpus in a folder: `load`, `download`, `build_manifest`, sources and duplicates |
| `classes`, and its tables `….csv` | packages of the sets; class, kind, source, words by path |
| `packages` | looking up packages, downloading and verifying them, copying their sound files |
| `licences` | the licence of each file, from its package's copyright file |
"""
