"""Table 2: what an embedding is worth when only a few clips are labelled.

In reading order: `table` (the rows, and all that is written), `cells` (a score each: kept, or found
now, with the time left), `embedding_cells` (the shallow classifier on an embedding) and
`scratch_cells` (the network from scratch, which is in `scratch`, its recipe in `scratch_config`);
`rows` (from cells to rows), `text` (Markdown), `figure`.
"""
