"""Time skrecsys' ItemKNNRecommender (https://pypi.org/project/skrecsys)."""

import neighbors
import numpy as np
from skrecsys.recommendation import ItemKNNRecommender


def measure(user, item, args, clock):
    """Fit from raw ids, and recommend in one call."""
    X = np.column_stack([user, item])
    model = ItemKNNRecommender(n_neighbors=args.neighbors, n_jobs=args.threads)
    clock.time("fit", lambda: model.fit(X))
    users = np.unique(user)[: args.users]
    clock.time("recommend", lambda: model.recommend(users, n_recommendations=args.k))
    if args.save is not None:
        neighbors.save(args.save, model.similarity_, np.unique(item))


if __name__ == "__main__":
    neighbors.run(measure)
