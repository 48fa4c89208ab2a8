"""Pages with pictures and players, each a self-contained HTML file.

In: scores, embeddings and sound files, from `table1.json`, `scores.json`, a run's folder or the
answer of a search. Out: a file that needs neither network nor the sound files.

Python computes values, as dataclasses; templates show them. In reading order:

    formatting    words and numbers, without characters that no page may hold
    templating    the templates' environment: escaping, filters, static files
    pages         a page from a template; its Content-Security-Policy
    excerpts      a part of a recording, decoded, and encoded as MP3
    pictures      its log mel picture
    clips         the sounds of a page, and their players
    charts        charts of lines and of bars; `colours`: one for every class
    projection    embeddings in the plane
    sound_map     the map to listen to
    queries       the neighbours of sounds by two embeddings; mix-ups
    training_curves    curves of training runs
    table_page, classifier_page, listen_page, check_page, search_page, runs_page    the pages

    templates/    page.html, which all extend; parts.html (player, tile, table, facts) and
                  charts.html, macros; a file for each page
    static/       styles and scripts, written into the page; every page has base.css and player.*
"""
