"""The rows of the tables: keys, names, what is trained for each."""

from audio_triplet import constraints
from audio_triplet.config import CONSTRAINTS, EXPLICIT

BASELINE = "log_mel"
STATISTICS = "log_mel_stats"
RANDOM = "random"
SHUFFLED = "shuffled"
ROWS = (BASELINE, *CONSTRAINTS, "joint", EXPLICIT)
"""The table of the paper."""

_FURTHER = tuple(name for name in constraints.names() if name not in ROWS)
EXTRA_ROWS = (STATISTICS, RANDOM, SHUFFLED, *_FURTHER)
"""Rows that have to be asked for: another baseline, two that must come out low, and one more."""

UNTRAINED = (BASELINE, STATISTICS, RANDOM)
FIXED = (BASELINE, STATISTICS)
"""Rows that no seed changes."""

SCORES = ("qbe_map", "query_map", "cls_map", "accuracy", "probe_map", "probe_accuracy")
PER_CLASS = {
    "qbe_map": "qbe_per_class",
    "query_map": "query_per_class",
    "cls_map": "cls_per_class",
    "probe_map": "probe_per_class",
}
TITLES = {
    "qbe_map": "query by example, mAP",
    "query_map": "per-query mAP",
    "cls_map": "classification, mAP",
    "accuracy": "accuracy",
    "probe_map": "linear probe, mAP",
    "probe_accuracy": "linear probe, accuracy",
}
NAMES = {
    "log_mel": "Log mel (baseline)",
    "log_mel_stats": "Log mel, mean and deviation",
    "random": "Random encoder",
    "joint": "Joint",
    "shuffled": "Joint, labels shuffled",
    **{name: constraints.get(name).title for name in constraints.names()},
}

Trial = tuple[str, int]
"""What a row is scored for once: the fold tested on ("" without --folds), and a seed."""
