"""Makes an index into a folder of static files that searches itself in any browser.

    audio-triplet publish --index=archive.index --output_dir=site --title="Our birds"
    python -m http.server --directory site

Any file host serves the folder, below any address; nothing runs behind it. A visitor drops a sound,
asks by a word of the labels, or by a moment that was found; the sound stays in the visitor's
browser. Answers are those of `audio-triplet search`, but that copies are not aligned to the sample.

--labels publishes the answers of browse, too: words to ask by, and what stands beside a hit.

--audio=opus publishes pieces of the recordings to listen to, as small as speech; copy publishes the
files themselves, none no sound. What --exclude fits is nowhere in the folder. A folder that was
published before is replaced when the new one is whole.

The first time it fetches LiteRT for browsers (12 MB) from the npm registry; without a network, put
the packages it names into a folder, and name that by --runtime.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from audio_triplet.commands import config_flags
from audio_triplet.errors import UsageError


def define_flags() -> None:
    """Defines the verb's flags."""
    flags.DEFINE_string("index", None, config_flags.INDEX_HELP, required=True)
    flags.DEFINE_string("output_dir", None, "Folder of the site.", required=True)
    flags.DEFINE_string("title", "", "Title of the page; by default the index's name.")
    flags.DEFINE_enum("audio", "opus", ["opus", "copy", "none"], "What can be listened to.")
    flags.DEFINE_float(
        "audio_seconds", 60.0, "Of each file so much from its beginning, as Opus; 0: all.", 0.0
    )
    flags.DEFINE_string("licence", "", "Licence of the recordings, for README.txt and the page.")
    flags.DEFINE_string(
        "credits", "", "CSV table (path, credit): what is said of each file, as licence and source."
    )
    flags.DEFINE_multi_string(
        "exclude", [], "Pattern of names or paths to leave out, as in private/*; may be repeated."
    )
    flags.DEFINE_string("labels", "", "Answers to publish, the file that browse --labels wrote.")
    flags.DEFINE_boolean("map", True, "Whether the page has a map; laying it out takes a minute.")
    flags.DEFINE_string("runtime", "", "Folder with the runtime's npm packages (.tgz).")


def main(argv: Sequence[str]) -> None:
    """Runs the verb."""
    values = flags.FLAGS
    if argv[1:]:
        raise UsageError(f"{argv[1]}: publish takes no sounds; it publishes what --index holds")
    from audio_triplet.publish import site
    from audio_triplet.search import remote_index

    with remote_index.reading(values.index) as folder:
        written = site.write(
            site.SiteConfig(
                index=folder,
                output_dir=values.output_dir,
                title=values.title,
                audio=values.audio,
                audio_seconds=values.audio_seconds,
                licence=values.licence,
                credits=values.credits,
                exclude=tuple(values.exclude),
                labels=values.labels,
                map=values.map,
                runtime=values.runtime,
            )
        )
    print(
        f"{values.output_dir}: {written.files:,} recordings, {written.vectors:,} moments, "
        f"{written.bytes / 1e6:.1f} MB; recall of ten by 8 bits {written.recall:.3f}"
    )
