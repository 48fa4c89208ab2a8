"""A classifier of one's own sounds, from a few labels, on the embeddings of an export.

In: an `EmbeddingSet` of segments of which some have labels. Out: a `SoundClassifier` that scores
embeddings, what it is worth on other recordings, and which sounds to label next.

    examples = Examples.of(embeddings)          # segments that have a label
    checked = cross_validate(examples, config)  # scores by classifiers fitted on other recordings
    fitted = fit(examples, config)
    SoundClassifier(examples.classes, fitted.classifier, model.digest).save(folder)

In reading order:

    examples.py            `Examples`: what is learned from
    classifier.py          fitting, and a classifier on disk
    cross_validation.py    what it is worth, with an interval, and what fewer labels would be worth
    average_precision.py   average precision over samples of recordings
    suggestions.py         what to label next
"""
