"""Searching millions of sounds for those most like a query.

In: `EmbeddingSet`s, which are written into an index, and query sounds. Out: hits, best first.

In reading order:

    sound_index.py    `SoundIndex`: an index that is searched by sound; a whole search
    query.py          one or several query sounds as one vector
    results.py        the answer as JSON and as a table
    index_format.py   the files of an index
    database.py       its tables, in SQLite: schema, opening, transactions, errors
    tables.py         `Tables`: reading them, filters
    index.py          `Index`: an index that is searched by vectors
    exact.py          exact search
    faiss_search.py   search by FAISS: building, measuring, searching
    index_writer.py   `Writer`: adding to an index
    part_writer.py    writing one part of an index
    filling.py        `Filler`: filling the tables
    outline.py        how loud a recording is in a few bands, to know its copies
    duplicates.py     recordings that are there twice
    earlier_format.py indices of earlier versions, and converting them
    adding.py         embedding sound files into an index
"""
