"""The rows of a log: columns, ids, pairs of users and items, histories."""
