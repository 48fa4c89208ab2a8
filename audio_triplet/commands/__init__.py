"""The command line: `audio-triplet VERB`, a module for each verb."""
