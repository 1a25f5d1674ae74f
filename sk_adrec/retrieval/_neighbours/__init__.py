"""Item-item similarities from co-occurrence."""
