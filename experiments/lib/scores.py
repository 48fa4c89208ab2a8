"""The names of `protocol`'s scores in JSON, and in tables and figures. No TensorFlow."""

SCORES = ("qbe_map", "query_map", "cls_map", "accuracy", "probe_map", "probe_accuracy")

# Score → key of its values per class.
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
