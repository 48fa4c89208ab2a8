"""Sweeps: what each value of the method, one at a time, does to the embedding.

In reading order: `parameters` (what is swept over, and the runs it makes), `table` (train, score,
write), `rows` (from scores to rows), `text` (Markdown), `figure`.
"""
