"""Scoring an embedding (the paper, evaluations): retrieval, classification, few labels.

In: NumPy arrays alone: vectors of segments or of their patches, bool[segments, classes] labels, and
the recording of each segment (two segments of one recording prove nothing). Out: scores per class
and their means; NaN where there is no score. Nothing here reads sound or knows a corpus;
`experiments.lib.protocol` decides what is scored on what.

In reading order:

* `metrics`: average precision, ROC AUC, d', the bootstrap interval over classes.
* `retrieval`: query by example, the paper's Table 1 left; per-query retrieval; nearest neighbours.
  Below it `cosines` (exact, so that ties are ties), `pairs` (which pairs count), `ranking`
  (average precision by counting) and, for many segments, `all_pairs` (the same by tiles; its
  `loops` are compiled).
* `classification`: the shallow classifier on frozen embeddings, Table 1 right. Below it
  `shallow_network` (the classifier and its files) and `shallow_training` (its gradient steps).
* `probe`: logistic regression, the usual measure of published figures.
* `grouped_splits`: splitting segments for validation without splitting a recording.
* `few_labels`: drawing the labelled clips of Table 2.
* `recovery`: how much of the topline's gain over the baseline a score recovers.
* `table_rows`: the rows of the tables: their keys, names and colours.
"""
