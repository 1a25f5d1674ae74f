"""Time implicit's CosineRecommender (https://github.com/benfred/implicit)."""

import neighbors
import numpy as np
import pandas as pd
from implicit.nearest_neighbours import CosineRecommender
from scipy import sparse


def measure(user, item, args, clock):
    """Raw ids are factorised by pandas into a CSR matrix; then fit, and recommend in one call."""

    def matrix():
        rows, columns = pd.factorize(user)[0], pd.factorize(item)[0]
        return sparse.csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)))

    X = clock.time("encode", matrix)
    model = CosineRecommender(K=args.neighbors, num_threads=args.threads)
    clock.time("fit", lambda: model.fit(X, show_progress=False))
    users = np.arange(min(args.users, X.shape[0]))
    clock.time("recommend", lambda: model.recommend(users, X[users], N=args.k))


if __name__ == "__main__":
    neighbors.run(measure)
