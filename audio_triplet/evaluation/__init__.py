"""What an embedding is worth: query by example, shallow classification, recovery (paper.md)."""
