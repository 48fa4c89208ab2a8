"""A decoder that crashes, in every process that has this folder on its path."""
