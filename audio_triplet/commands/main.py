"""`audio-triplet VERB`: one command, with a verb for each thing that a user does."""

import importlib
import sys

VERBS = {
    "embed": "sound files → embeddings, as .npz or Parquet",
    "index": "sound files → an index to search in",
    "search": "a sound → the most similar moments of an index",
    "classify": "a few labels → a classifier; its predictions; what to label next",
    "deploy": "a SavedModel → TensorFlow Lite, ONNX and the TensorBoard projector",
}

_USAGE = "usage: audio-triplet VERB [arguments] [--flags]"


def usage() -> str:
    """The help text: every verb with a line."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:{width}}  {what}" for verb, what in VERBS.items()]
    return "\n".join([_USAGE, "", *lines, "", "audio-triplet VERB --help explains one of them."])


def run() -> None:
    """Entry point of the command: runs the verb's own module with the rest of the arguments."""
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb in ("", "help", "--help", "-h", "-help", "--helpfull"):
        print(usage(), file=sys.stdout if verb else sys.stderr)
        raise SystemExit(0 if verb else 1)
    if verb == "--version":
        import audio_triplet

        print(f"audio-triplet {audio_triplet.__version__}")
        return
    if verb not in VERBS:
        raise SystemExit(f"audio-triplet: {verb}: no such verb; choose from {', '.join(VERBS)}")
    sys.argv = [f"audio-triplet {verb}", *sys.argv[2:]]
    importlib.import_module(f"audio_triplet.commands.{verb}").run()


if __name__ == "__main__":
    run()
