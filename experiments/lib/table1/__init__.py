"""Table 1: query by example and classification for every kind of triplet.

In reading order: `flags` (what the scripts ask), `table` (train, embed, score, write), `rows` (from
scores of single trials to rows), `text` (Markdown), `figures`.
"""
