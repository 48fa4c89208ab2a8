"""Table 1: query by example and classification for every kind of triplet.

In: settings, rows, seeds and folds. Out: table1.json, table1.md, figures, report.html. In reading
order: `flags`, `table` (train, embed, score, write), `rows` (from scores of single trials to rows),
`text` (Markdown), `figures`.
"""
