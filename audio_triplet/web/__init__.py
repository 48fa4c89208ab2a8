"""Pages to look at and to listen to, each one self-contained HTML file.

In: scores, embeddings and sound files, as `table1.json`, `scores.json`, a run's folder or the
answer of a search have them. Out: a file that needs no network and no sound files beside it.

Python computes values, as dataclasses; templates show them. In reading order:

    formatting    words and numbers, cleaned of what no page may hold
    templating    the templates' environment: escaping, filters, static files
    pages         a page from a template; its Content-Security-Policy
    excerpts      a part of a recording, decoded, and encoded as MP3
    pictures      its log mel picture
    clips         the sounds of a page, and what their players show
    charts        lines and bars; `colours`: one for every class
    projection    embeddings in the plane
    sound_map     the map to listen to
    queries       what sounds find by two embeddings; mix-ups
    training_curves
    table_page, classifier_page, search_page, runs_page    the pages

    templates/    page.html, which all extend; parts.html (player, tile, table, facts) and
                  charts.html, macros; a file for each page
    static/       styles and scripts, written into the page; base.css and player.* are every page's
"""
