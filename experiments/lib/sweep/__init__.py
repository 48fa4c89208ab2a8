"""Sweeps: the effect of each value of the method on the embedding, one at a time.

In: settings, and the parameters to sweep over. Out: sweep.json, sweep.md, sweep.png. In reading
order: `parameters` (parameters, their values and runs), `table` (train, score, write), `rows` (from
scores to rows), `text` (Markdown), `figure`.
"""
