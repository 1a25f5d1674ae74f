"""Lists of the best items: search, how good they are, and what a score means."""
