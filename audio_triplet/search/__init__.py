"""Finding sounds like a sound, among millions.

In: `EmbeddingSet`s, which are written into an index, and sounds to look for. Out: hits, best first.

In reading order:

    sound_index.py    `SoundIndex`: an index that is asked by sound; the whole of a search
    query.py          a sound, or several, as one vector
    results.py        the answer as JSON and as a table
    index_format.py   what an index is on disk
    index.py          `Index`: an index that is asked by vectors
    exact.py          exact search
    faiss_search.py   search by FAISS: building, measuring, asking
    index_writer.py   `Writer`: adding to an index
    adding.py         sound files into an index
"""
