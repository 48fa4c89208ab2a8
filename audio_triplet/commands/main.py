"""`audio-triplet VERB`: one command, with a verb for each thing that a user does."""

import sys

from audio_triplet.commands import signals, verbs
from audio_triplet.commands.verbs import Verb, VerbGroup

PROGRAM = "audio-triplet"

COMMAND = VerbGroup(
    summary="Embeds, searches and classifies sound.",
    verbs={
        "embed": Verb(
            "audio_triplet.commands.embed",
            "sound files → embeddings, as .npz or Parquet",
            "SOUND...",
            decodes=True,
            runs_on_clusters=True,
        ),
        "index": Verb(
            "audio_triplet.commands.index",
            "sound files → an index to search in",
            "[SOUND...]",
            decodes=True,
            runs_on_clusters=True,
        ),
        "search": Verb(
            "audio_triplet.commands.search",
            "a sound → the most similar moments of an index",
            "QUERY...",
        ),
        "browse": Verb(
            "audio_triplet.commands.browse",
            "an index → a window to search, listen, label and train in",
        ),
        "publish": Verb(
            "audio_triplet.commands.publish",
            "an index → a folder of files that searches itself in any browser",
        ),
        "classify": VerbGroup(
            package="audio_triplet.commands.classify",
            summary="a few labels → a classifier; its predictions; what to label next; how many",
            verbs={
                "fit": Verb(
                    "audio_triplet.commands.classify.fit",
                    "labelled sound → a classifier, and what it is worth",
                    "LABELLED...",
                    decodes=True,
                ),
                "predict": Verb(
                    "audio_triplet.commands.classify.predict",
                    "a classifier, sound → a score for each class",
                    "SOUND...",
                    decodes=True,
                    runs_on_clusters=True,
                ),
                "suggest": Verb(
                    "audio_triplet.commands.classify.suggest",
                    "a classifier, sound → what to label next",
                    "SOUND...",
                    decodes=True,
                ),
                "estimate": Verb(
                    "audio_triplet.commands.classify.estimate",
                    "predictions, a few answers → the share of moments of a class",
                ),
                "check": Verb(
                    "audio_triplet.commands.classify.check",
                    "predictions, annotations → precision, recall and what was missed",
                ),
            },
        ),
        "deploy": Verb(
            "audio_triplet.commands.deploy",
            "a SavedModel → TensorFlow Lite, ONNX and the TensorBoard projector",
        ),
    },
)


def run() -> None:
    """Entry point of the command."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--version"]:
        import audio_triplet

        print(f"{PROGRAM} {audio_triplet.__version__}")
        return
    if arguments[:1] == ["--helpfull"]:
        arguments[0] = "--help"
    try:
        verbs.run(PROGRAM, COMMAND, arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        raise signals.pipe_closed() from None


if __name__ == "__main__":
    run()
