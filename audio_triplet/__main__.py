"""`python -m audio_triplet VERB` is `audio-triplet VERB`."""

from audio_triplet.commands.main import run

if __name__ == "__main__":
    run()
