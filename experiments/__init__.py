"""Scripts, one per experiment of the paper. Flags live here and nowhere below."""
