"""A classifier of your own sounds, from a few labels, on the embeddings of an export.

In: an `EmbeddingSet` of segments, some with labels. Out: a `SoundClassifier` that scores
embeddings, its score on other recordings, and the sounds to label next.

    examples = Examples.of(embeddings)          # segments that have a label
    checked = cross_validate(examples, config)  # scores by classifiers fitted on other recordings
    fitted = fit(examples, config)
    SoundClassifier(examples.classes, fitted.classifier, model.digest).save(folder)

In reading order:

    examples.py            `Examples`: the labelled segments
    by_likeness.py         a classifier by likenesses to each labelled sound
    combined.py            that and one of descriptions, as one
    classifier.py          fitting, and a classifier on disk
    cross_validation.py    its score, with an interval, and the scores with fewer labels
    report.py              what scores.json says
    folds.py               folds of recordings
    average_precision.py   average precision over samples of recordings
    calibration.py         from scores to probabilities
    thresholds.py          the score from which on a class is found
    proportions.py         intervals of shares
    suggestions.py         the sounds to label next
    scoring.py             sound, scored segment by segment
    together.py            sounds that are alike share their scores
    adaptation.py          sounds that were recorded otherwise than the labelled ones
    score_pipeline.py      the same by workers (`--runner`)
    predictions.py         the table that `classify predict` writes, read again
    estimate.py            how many moments are of a class, from a few answers
    listening.py           the table of moments to listen to, and its answers
    checking.py            precision, recall, F1, average precision; what each counts
    matching.py            which parts of sound overlap, and which are pairs
    annotated.py           annotation tables, and which file is meant
    comparison.py          predictions of an archive beside its annotations (`check_config.py`)
"""
