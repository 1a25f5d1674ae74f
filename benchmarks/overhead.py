"""What FMClassifier costs beyond its arithmetic: trainer, encoding, prediction, memory.

    python benchmarks/overhead.py                    # 2 to 4 minutes on two idle cores
    python benchmarks/overhead.py --max-rows 20000   # a trial

Writes ``results/overhead.json``. Times are medians over rounds of one run.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import argparse
import copy
import ctypes
import gc
import json
import multiprocessing
import platform
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import protocol
import psutil
import torch

from sk_adrec import FeatureEncoder, FMClassifier
from sk_adrec._batches import BatchIterator, TrainingRows
from sk_adrec._net import threads
from sk_adrec.nn import RowSparseAdam
from sk_adrec.preprocessing._log_encoder import LogEncoder

LABEL = protocol.LABELS[0]
BATCH_SIZE = 4096
LOOP_ROWS, LOOP_EPOCHS, LOOP_ROUNDS = 300_000, 2, 5
ENCODE_ROWS, ENCODE_ROUNDS = 1_000_000, 3
PREDICT_ROUNDS, ONE_ROW_CALLS = 5, 500
# Often enough to catch the short-lived arrays of an encoder.
SAMPLING_SECONDS = 0.002


def seconds_of(function, rounds):
    """Median seconds of a call."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        function()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))


def make_model(**params):
    """FMClassifier with its defaults, one epoch in large batches."""
    params = {"max_epochs": 1, "early_stopping": False} | params
    return FMClassifier(batch_size=BATCH_SIZE, random_state=0, **params)


def hand_written(module, rows, rng, lr, id_dropout):
    """The plainest loop that takes the trainer's steps: same batches, loss and optimiser."""
    optimizer = RowSparseAdam(module.parameters(), lr=lr)
    criterion = torch.nn.BCEWithLogitsLoss(reduction="none")
    iterator = BatchIterator(rows, BATCH_SIZE, "cpu", rng, id_dropout)
    module.train()
    losses = []
    for _ in range(LOOP_EPOCHS):
        total = torch.zeros(())
        for batch, (y, weight) in iterator:
            optimizer.zero_grad()
            loss = (criterion(module(batch), y) * weight).mean()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(y)
        losses.append(float(total) / len(rows))
    return losses


def trainer_overhead(train):
    """Seconds of the skorch trainer and of a hand-written loop, in turns.

    Raises
    ------
    RuntimeError
        If the two do not end with the same parameters: then they did not take the same steps.
    """
    X, y, weight = (part[:LOOP_ROWS] for part in (train.X, train.y, train.weight))
    model = make_model().fit(X, y, sample_weight=weight)
    net = model.net_.set_params(max_epochs=LOOP_EPOCHS)
    rows = TrainingRows(
        model._encode(X), y.astype(np.float32), (weight / weight.mean()).astype(np.float32)
    )
    seconds = {"trainer": [], "hand_written": []}
    for seed in range(LOOP_ROUNDS):
        module = copy.deepcopy(net.module_)
        net.rng = np.random.default_rng(seed)
        net.initialize_optimizer()
        began = time.perf_counter()
        net.partial_fit(rows)
        middle = time.perf_counter()
        with threads(net.n_threads):
            hand_written(module, rows, np.random.default_rng(seed), model.lr, model.id_dropout)
        seconds["hand_written"].append(time.perf_counter() - middle)
        seconds["trainer"].append(middle - began)
        if any((a != b).any() for a, b in zip(net.module_.parameters(), module.parameters())):
            raise RuntimeError("the trainer and the hand-written loop took different steps")
    ratio = np.array(seconds["trainer"]) / np.array(seconds["hand_written"])
    return {
        "n_rows": len(rows),
        "n_epochs": LOOP_EPOCHS,
        "seconds": seconds,
        "overhead": float(np.median(ratio)) - 1,
    }


def encode_seconds(train):
    """Seconds to fit and to apply the encoders, on categories and on strings."""
    X = train.X.iloc[:ENCODE_ROWS]
    return {
        "n_rows": len(X),
        "n_columns": X.shape[1],
        "category": _encoder_seconds(X),
        "str": _encoder_seconds(X.astype("str")),
    }


def _encoder_seconds(X):
    encoder, transformer = LogEncoder(), FeatureEncoder().set_output(transform="pandas")
    calls = {
        "LogEncoder.fit_transform": lambda: encoder.fit_transform(X),
        "LogEncoder.transform": lambda: encoder.transform(X),
        "FeatureEncoder.fit": lambda: transformer.fit(X),
        "FeatureEncoder.transform": lambda: transformer.transform(X),
    }
    return {name: seconds_of(call, ENCODE_ROUNDS) for name, call in calls.items()}


def predict_speed(train, test):
    """Rows per second from the raw frame and from encoded arrays; milliseconds of one row."""
    model = make_model().fit(train.X, train.y, sample_weight=train.weight)
    encoded = model._encode(test.X)
    rng = np.random.default_rng(0)
    single = [test.X.iloc[[row]] for row in rng.integers(0, len(test), ONE_ROW_CALLS)]
    remaining = iter([*single, single[0]])
    model.predict_proba(next(remaining))
    raw = seconds_of(lambda: model.predict_proba(test.X), PREDICT_ROUNDS)
    arrays = seconds_of(lambda: model._forward_encoded(encoded), PREDICT_ROUNDS)
    one = seconds_of(lambda: model.predict_proba(next(remaining)), ONE_ROW_CALLS)
    return {
        "n_rows": len(test),
        "raw_rows_per_second": len(test) / raw,
        "encoded_rows_per_second": len(test) / arrays,
        "one_row_ms": one * 1e3,
    }


class PeakMemory:
    """Context manager that samples this process's resident memory; ``mb`` is the largest."""

    def __enter__(self):
        self.process, self.mb, self.running = psutil.Process(), 0.0, True
        self.thread = threading.Thread(target=self._sample)
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.running = False
        self.thread.join()

    def _sample(self):
        while self.running:
            self.mb = max(self.mb, self.process.memory_info().rss / 1e6)
            time.sleep(SAMPLING_SECONDS)


def fit_memory(max_rows):
    """Memory that a fit adds at its peak, against its encoded rows; runs in a fresh process."""
    weeks = [*protocol.TRAIN_WEEKS, *protocol.VALIDATION_WEEKS]
    train = protocol.load_rows(LABEL, weeks, max_rows=max_rows)
    # What torch and skorch load at first use is no part of a fit's memory.
    make_model().fit(train.X[:2000], train.y[:2000])
    gc.collect()
    if platform.system() == "Linux":
        # Otherwise the fit would live on pages that loading the data left behind.
        ctypes.CDLL(None).malloc_trim(0)
    before = psutil.Process().memory_info().rss / 1e6
    with PeakMemory() as peak:
        model = make_model(early_stopping="auto").fit(train.X, train.y, sample_weight=train.weight)
    encoded = model._encode(train.X).nbytes / 1e6
    return {
        "n_rows": len(train),
        "encoded_mb": encoded,
        "added_mb": peak.mb - before,
        "multiple": (peak.mb - before) / encoded,
    }


def main():
    """Parse the command line, run, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--max-rows", type=int, help="rows of each part, to try the script out")
    parser.add_argument("--output", type=Path, default=protocol.RESULTS / "overhead.json")
    args = parser.parse_args()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        result = {"fit_memory": pool.submit(fit_memory, args.max_rows).result()}
    print("fit_memory", result["fit_memory"], flush=True)
    weeks = [*protocol.TRAIN_WEEKS, *protocol.VALIDATION_WEEKS]
    train = protocol.load_rows(LABEL, weeks, max_rows=args.max_rows)
    test = protocol.load_rows(LABEL, protocol.TEST_WEEKS, max_rows=args.max_rows)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    parts = {
        "trainer": lambda: trainer_overhead(train),
        "predict": lambda: predict_speed(train, test),
        "encode": lambda: encode_seconds(train),
    }
    for name, measure in parts.items():
        result[name] = measure()
        print(name, result[name], flush=True)
    result |= protocol.environment("torch", "skorch", "sk-adrec")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
