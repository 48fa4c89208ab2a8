"""Searching millions of sounds for those most like a query.

In: `EmbeddingSet`s, which are written into an index, and query sounds. Out: hits, best first.

In reading order:

    sound_index.py    `SoundIndex`: an index that is searched by sound; a whole search
    words.py          asking by a word: labelled sounds as a query
    word_table.py     vectors by word, which lie beside a released model
    query.py          a query sound as patches, or as one vector
    asking.py         a search by patches: copies first, then events
    likeness.py       cosines about an archive's own mean: the measure, from sums over vectors
    measuring.py      an archive's measure on disk
    question.py       what is asked: patches of sounds that are wanted, and that are not
    scanning.py       the pass over all vectors
    events.py         where something like the question sounds, from start to end
    copies.py         copies of the query, found in the sound files
    alignment.py      where one waveform lies in another
    results.py        the answer as JSON and as a table
    index_options.py  what a new index may be told
    index_format.py   the files of an index
    database.py       its tables, in SQLite: schema, opening, transactions, errors
    tables.py         `Tables`: reading them, filters
    index.py          `Index`: an index that is searched by vectors
    exact.py          exact search by one vector
    faiss_search.py   search by FAISS: building, measuring, searching
    index_writer.py   `Writer`: adding to an index
    part_writer.py    writing one part of an index
    filling.py        `Filler`: filling the tables
    outline.py        how loud a recording is in a few bands, to know its copies
    duplicates.py     recordings that are there twice
    earlier_format.py indices of earlier versions, and converting them
    adding.py         embedding sound files into an index
    taking.py         what to take of another index, and its rows
    merging.py        taking the parts of another index
    index_pipeline.py adding sound by the workers of a Beam pipeline
    remote_index.py   an index at an address of an object store, used as if it were a folder
    mirror.py         the local copy of such an index
    store_format.py   its objects, and their list
    object_store.py   reading and writing objects, by fsspec
"""
