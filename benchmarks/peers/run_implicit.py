"""Time implicit's CosineRecommender (https://github.com/benfred/implicit)."""

import neighbors
import numpy as np
import pandas as pd
from implicit.nearest_neighbours import CosineRecommender
from scipy import sparse


def measure(user, item, args, clock):
    """Raw ids are factorised by pandas into a CSR matrix; then fit, and recommend in one call. An
    item is its own first neighbour, so that one more is asked for.
    """

    def matrix():
        (rows, users), (columns, items) = pd.factorize(user), pd.factorize(item)
        ones = np.ones(len(rows), dtype=np.float32)
        return sparse.csr_matrix((ones, (rows, columns))), users, items

    X, users, items = clock.time("encode", matrix)
    model = CosineRecommender(K=args.neighbors + 1, num_threads=args.threads)
    clock.time("fit", lambda: model.fit(X, show_progress=False))
    asked = pd.Index(users).get_indexer(np.sort(users)[: args.users])
    clock.time("recommend", lambda: model.recommend(asked, X[asked], N=args.k))
    if args.save is not None:
        neighbors.save(args.save, sparse.csr_matrix(model.similarity), items)


if __name__ == "__main__":
    neighbors.run(measure)
