"""A classifier of your own sounds, from a few labels: fit it, use it, ask what to label next.

    audio-triplet classify fit LABELLED --output_dir=mine
    audio-triplet classify predict SOUND --classifier=mine/classifier --output_dir=mine
    audio-triplet classify suggest SOUND --classifier=mine/classifier --output_dir=mine
    audio-triplet classify estimate --predictions=mine/predictions.csv --label=dog --output_dir=dogs
    audio-triplet classify check --predictions=mine/predictions.csv --truth=annotated --output_dir=o

LABELLED is a folder with a sub-folder for each class, or a manifest with labels in some rows.
`suggest` writes a manifest to fill in; give it to `fit` together with the rest:

    audio-triplet classify fit LABELLED mine/suggest.csv --output_dir=mine
"""
