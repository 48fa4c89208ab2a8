"""Code shared by the experiments. In: settings (from flags, or by hand). Out: scores and tables.

In reading order:

* `settings`, `shared_flags`: the settings of an experiment as one object; its flags.
* `corpus`: a corpus ready for training and evaluation, with its sides.
* `runs`: training an encoder to its end, and exporting it.
* `embeddings`: embeddings of a table's rows, kept or made now.
* `protocol`: the scores of one representation; the only evaluation. `scores` names them.
* `scored_corpus`: a corpus embedded from its files by a SavedModel.
* `table1`, `table2`, `sweep`: a package each: make the table, its rows, its text, its figures.
* `landmarks`: which of many sounds share a recording.
* `kept`, `statistics`, `tables`, `figures`, `map_figure`: results on disk, means, Markdown, plots.
* `script`: the shell of every script. `model_card`: the card of a released model.

A flag is read in `main` of a script, through functions named `…_from_flags`; all else takes
arguments.
"""
