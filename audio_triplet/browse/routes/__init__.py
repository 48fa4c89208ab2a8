"""What the API answers: for each route a function of the session and the request's fields.

None of them knows HTTP beyond a `Response` where the answer is no JSON; `app` lists them with their
addresses. They run in threads, several at a time.

    looking.py     the index, its files, sounds, pictures, words
    searching.py   searches
    labelling.py   answers, undo
    learning.py    classifiers, what to listen to next
    mapping.py     the map, the time line
    exchanging.py  export and import
"""
