"""A classifier of your own sounds, from a few labels: fit it, use it, ask what to label next.

    audio-triplet classify fit LABELLED --model=runs/mine/export --output_dir=mine
    audio-triplet classify predict SOUND --classifier=mine/classifier --output_dir=mine
    audio-triplet classify suggest SOUND --classifier=mine/classifier --output_dir=mine

LABELLED is a folder with a sub-folder for each class, or a manifest whose column `labels` is filled
here and there. fit writes `classifier/`, scores.json and classifier.html: what it is worth on
recordings that it has not heard. predict writes predictions.csv: file, times, and a score for each
class. suggest writes the sounds that are the least clear to it, as suggest.csv, a manifest to fill
in, and suggest.html, a page to listen to them and to label them on; give it to fit beside the rest:

    audio-triplet classify fit LABELLED mine/suggest.csv --model=… --output_dir=mine

Also: audio-triplet classify.
"""

import sys

from absl import flags

from audio_triplet import locks
from audio_triplet.commands import config_flags, inputs, terminal
from audio_triplet.commands.classify.fit import few_of, fit
from audio_triplet.commands.classify.predict import predict
from audio_triplet.commands.classify.suggest import suggest
from audio_triplet.config import ClassifyConfig, EmbedConfig
from audio_triplet.errors import UsageError

COMMANDS = ("fit", "predict", "suggest")


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string(
        "model", None, "Folder of a SavedModel; predict and suggest know the one of fit."
    )
    flags.DEFINE_string("output_dir", None, "Folder for all that is written.", required=True)
    flags.DEFINE_string(
        "classifier", None, "For predict and suggest: the folder `classifier` that fit wrote."
    )
    config_flags.define_flags(ClassifyConfig)
    flags.DEFINE_integer(
        "labels_per_class",
        0,
        "fit: draw so many labelled sounds of each class, and leave the "
        "others alone, to see what they are worth; 0 takes all.",
        lower_bound=0,
    )
    flags.DEFINE_boolean("page", True, "fit: write classifier.html too, with a learning curve.")
    flags.DEFINE_boolean(
        "compare_log_mel",
        False,
        "fit: check log mel in the same way, for comparison; it has 48 "
        "times as many numbers, so this takes longer.",
    )
    config_flags.define_flags(EmbedConfig)
    flags.DEFINE_integer("count", 30, "suggest: how many sounds.", lower_bound=1)
    flags.DEFINE_float(
        "window_seconds",
        10.0,
        "suggest: longer sounds are cut into windows of this length.",
        lower_bound=0.975,
    )
    flags.DEFINE_boolean(
        "ignore_labels", False, "suggest: take sounds too that have a label of the classifier."
    )


def main(argv):
    """Runs the command."""
    terminal.quiet_tensorflow()
    values = flags.FLAGS
    with terminal.clear_errors("audio-triplet classify"):
        if len(argv) < 2 or argv[1] not in COMMANDS:
            raise UsageError(f"say what to do: {', '.join(COMMANDS)}; see --help")
        manifest, _ = inputs.load_inputs(argv[2:])
        with locks.exclusive(values.output_dir):
            locks.clear_leftovers(values.output_dir)
            if argv[1] == "fit":
                if not values.model:
                    raise UsageError("fit needs --model, the folder of a SavedModel")
                if values.labels_per_class:
                    manifest = few_of(manifest, values.labels_per_class, values.seed)
                told = fit(
                    manifest,
                    values.model,
                    values.output_dir,
                    config_flags.from_flags(ClassifyConfig),
                    values.page,
                    values.compare_log_mel,
                )
            elif not values.classifier:
                raise UsageError(
                    f"{argv[1]} needs --classifier, the folder `classifier` that fit wrote"
                )
            elif argv[1] == "predict":
                told = predict(
                    manifest,
                    values.classifier,
                    values.output_dir,
                    config_flags.from_flags(EmbedConfig),
                    values.model,
                )
            else:
                told = suggest(
                    manifest,
                    values.classifier,
                    values.output_dir,
                    values.count,
                    values.window_seconds,
                    values.ignore_labels,
                    values.model,
                )
        print(told)


def run() -> None:
    """Entry point of the command."""
    terminal.start(__name__, define_flags, main)


if __name__ == "__main__":
    sys.exit(run())
