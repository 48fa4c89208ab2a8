"""What an embedding is worth (the paper, evaluations): retrieval, classification, few labels.

In: NumPy arrays alone: vectors of segments or of their patches, bool[segments, classes] labels, and
the recording of each segment, which no measure takes for evidence. Out: scores per class and their
means; NaN marks what cannot be scored. Nothing here reads sound or knows a corpus; what a script
scores on what is `experiments.lib.protocol`.

In reading order:

* `metrics`: average precision, ROC AUC, d', the bootstrap interval over classes.
* `retrieval`: query by example, the paper's Table 1 left; per-query retrieval; nearest neighbours.
  Below it `cosines` (exact, so that ties are ties), `pairs` (which pairs count) and `ranking`
  (average precision by counting).
* `classification`: the shallow classifier on frozen embeddings, Table 1 right. Below it
  `shallow_network` (the classifier and its files) and `shallow_training` (its gradient steps).
* `probe`: logistic regression, what published figures are usually made by.
* `grouped_splits`: parting segments for validation without parting a recording.
* `few_labels`: drawing the labelled clips of Table 2.
* `recovery`: how much of the topline's gain over the baseline a score recovers.
* `table_rows`: the rows of the tables: their keys, names and colours.
"""
