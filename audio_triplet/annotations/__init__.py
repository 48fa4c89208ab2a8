"""Tables of labelled moments as annotation programs have them: read as manifests, and written.

In: a file of Raven, Audacity, BirdNET, Sonic Visualiser or Label Studio; its content says which.
Out: a list of `moments.Moment`, or a `data.manifest.Manifest` that `--corpus`, `classify` and the
rest take.

In reading order:

- `moments`: one labelled moment, and how the sound file is found that it lies in.
- `cells`: text as rows of cells.
- `raven`, `audacity`, `birdnet`, `sonic_visualiser`, `label_studio`, `own_table`: a format each.
- `reading`: which format a file is in; the manifest.
- `writing`: a table for each recording, and one for all of them.

By hand, not by `crowsetta`: its Raven reader drops the sound files' names, keeps a selection once
for every view and needs frequencies, its Audacity reader stops at frequency lines, and it has none
of the other three; it costs 1.5 s of import and pandera.
"""
