"""A window on an index: a local web application to search, listen, label, train and take away.

In: an index folder, and the sound files it is of. Out: a page and an API on 127.0.0.1
(docs/browse_api.md), and labels.sqlite. What it computes with are the vectors of the index; no
route imports TensorFlow, except to embed what is not in the index.

In reading order:

    archive.py      the index: files, numbered moments, vectors
    labels.py       the answers, in SQLite
    session.py      all that a running server holds
    searching.py    a search
    logistic.py     logistic regression by Newton's method
    learning.py     a label's classifier from the answers, its score and curve
    learner.py      the classifiers of all labels, fitted when they are asked for
    choosing.py     what to listen to next
    counting.py     how many moments are of a class, by a sample
    sounds.py       files as WAV, block by block
    pictures.py     log mel pictures of any part
    uploads.py      sounds that were sent
    clock_table.py  day and minute of every moment
    mapping.py      the map, computed in a process of its own
    map_file.py     the map's file
    exporting.py    answers, predictions, classifiers as files; `fitting.py`: that process
    importing.py    labels from tables
    fields.py       a request's fields, checked
    security.py     who may ask
    routes/         what each address answers
    app.py          the addresses
    server.py       the socket, and serving
"""
