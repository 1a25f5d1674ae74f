"""What no library can undercut: the layers of DeepFM and of DIN's attention alone, in torch.

    python benchmarks/mlp_floor.py

Milliseconds forwards and backwards for a batch of 4096 rows, two threads, without embeddings,
loss or optimiser; the steps of ``deepfm_epoch.py`` and ``din_epoch.py`` hold these and the rest.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import time
from itertools import pairwise

import numpy as np
import torch
from torch import nn

BATCH_SIZE, EVENTS = 4096, 48
# Name -> rows and widths. DIN's first layer is folded: of [e_k, e_t, e_k - e_t, e_k * e_t] with two
# attributes of width 16, three parts of 32 remain.
LAYERS = {
    "DeepFM, 18 x 16 -> 256 -> 128 -> 1": (BATCH_SIZE, (288, 256, 128, 1)),
    "DIN's attention, 96 -> 80 -> 40 -> 1 for each event": (BATCH_SIZE * EVENTS, (96, 80, 40, 1)),
}


def milliseconds(n_rows, widths, repeats=7):
    """The median time of a forward and backward pass."""
    layers = []
    for width, following in pairwise(widths):
        layers += [nn.Linear(width, following), nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    x = torch.randn(n_rows, widths[0], requires_grad=True)
    seconds = []
    for _ in range(repeats):
        network.zero_grad()
        start = time.perf_counter()
        network(x).sum().backward()
        seconds.append(time.perf_counter() - start)
    return 1e3 * float(np.median(seconds))


def main():
    """Print a line for each."""
    for name, (n_rows, widths) in LAYERS.items():
        print(f"{name}: {milliseconds(n_rows, widths):.1f} ms")


if __name__ == "__main__":
    main()
