"""An index as a folder of static files that searches itself in a browser.

In: an index, its encoder file, its sound files. Out: a folder, by `site.write`. Files in reading
order:

    site      the folder: what is written, and in which form
    archive   vectors in 8 bits, names, times, labels, words
    answers   what people said in `browse`
    credits   licence and source of each file
    coarse    vectors of a large archive in 16 bytes
    data      the files that a page searches in
    packing   files that are packed
    readme    README.txt
    sounds    what can be played
    browser_encoder  the encoder as browsers' runtime takes it
    runtime   LiteRT for browsers, fetched once and checked
"""
