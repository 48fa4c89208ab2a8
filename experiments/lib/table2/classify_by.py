"""What a classifier on an embedding may learn from. No TensorFlow here: flags are read from it."""

PATCHES = "patches"
DESCRIPTION = "description"
LIKENESS = "likeness"

CLASSIFY_BY = {
    PATCHES: "the paper's shallow network on single patches, scores averaged over a segment",
    DESCRIPTION: "logistic regression on mean, deviation and maximum of a segment's patches",
    LIKENESS: "that and likenesses to each labelled segment, as `classify fit` (of log mel, which "
    "is too large, the description alone)",
}
