"""Table 2: scores of embeddings when only a few clips are labelled.

In: settings, rows, numbers of labels and draws. Out: table2.json, table2.md, table2.png. In reading
order: `table` (the rows, and writing), `cells` (a score each, kept or computed now, with the time
left), `embedding_cells` (the shallow classifier on an embedding) and `scratch_cells` (the network
from scratch, which is in `scratch`, its recipe in `scratch_config`); `rows` (from cells to rows),
`text` (Markdown), `figure`.
"""
