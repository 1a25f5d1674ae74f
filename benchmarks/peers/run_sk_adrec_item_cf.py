"""Time this library's ItemCF."""

import neighbors
import numpy as np
import pandas as pd

from sk_adrec import ItemCF


def measure(user, item, args, clock):
    """Fit from raw ids, calibration of probabilities included, and recommend in one call."""
    log = pd.DataFrame({"user_id": user, "item_id": item})
    model = ItemCF(n_neighbors=args.neighbors, n_jobs=args.threads, random_state=0)
    clock.time("fit", lambda: model.fit(log))
    users = np.unique(user)[: args.users]
    clock.time("recommend", lambda: model.recommend(users, k=args.k))
    if args.save is not None:
        neighbors.save(args.save, model.similarity_, model.items_)


if __name__ == "__main__":
    neighbors.run(measure)
