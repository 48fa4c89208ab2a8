"""The experiments, a script each. Shared code is in `lib`, the values of runs are in `recipes`.

| script | part of the paper | writes |
|---|---|---|
| `train_embedding` | the method: one encoder, as one row of Table 1 | export/, a SavedModel |
| `table1` | Table 1: query by example and classification, each constraint | table1.* |
| `table2` | Table 2: few labels, and the network from scratch | table2.* |
| `sweep` | the values that the paper names, one at a time | sweep.* |
| `evaluate` | evaluations 1 and 2 of any SavedModel | metrics.json |
| `peers` | none: what a user could take instead, scored and timed in one run | peers.* |
| `robustness` | none: what loudness, codecs, noise and rooms do to a model | robustness.* |
| `own_archive` | none: released, from nothing, fine-tuned on an archive | own_archive.* |
| `calibration` | none: whether a classifier's probabilities come true | calibration.* |
| `release` | none: the released model, its card and its table of words | models/NAME/ |
| `words` | none: searches by word beside searches by one clip | words.json |
| `compare_runs` | none: training runs side by side | compare.html |
| `demo` | Table 1 on a small corpus, as `make demo` does it | demo/report.html |
| `data_service` | none: batches made on other machines | nothing |

`levels` and `loudness` are earlier names of `robustness`. No script imports another, and
`audio_triplet` imports nothing from here.
"""
