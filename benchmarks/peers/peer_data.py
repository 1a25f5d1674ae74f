"""The arrays that every peer runner trains on, read from an .npz and checked; numpy only."""

import re
from dataclasses import dataclass, field, replace

import numpy as np

# What each model reads besides the fields; the rest of an .npz is left out for all libraries alike.
READS_NUMBERS = ("fm", "deepfm", "din")
READS_LISTS = ("din",)
# Models with two labels, click and conversion.
TWO_LABELS = ("esmm",)

_REQUIRED = ("X_train", "y_train", "X_test", "y_test", "cardinalities")


@dataclass(frozen=True)
class Lists:
    """Lists of codes, stored flat, each row's most recent entry last.

    Attributes
    ----------
    values : ndarray of int64, shape (n_values,)
        Codes, the rows behind each other; 0 (padding) does not occur.
    offsets : ndarray of int64, shape (n + 1,)
        Row i is ``values[offsets[i]:offsets[i + 1]]``.
    """

    values: np.ndarray
    offsets: np.ndarray

    @property
    def lengths(self):
        """Entries of each row, shape (n,)."""
        return np.diff(self.offsets)

    def take(self, rows):
        """The lists of ``rows``, a slice of step 1 or an index array."""
        starts, lengths = self.offsets[:-1][rows], self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        source = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Lists(self.values[source], offsets)

    def padded(self, width):
        """Right-padded with 0, shape (n, width)."""
        codes = np.zeros((len(self.offsets) - 1, width), dtype=np.int64)
        codes[np.arange(width) < self.lengths[:, None]] = self.values
        return codes


@dataclass(frozen=True)
class Data:
    """Encoded impressions: integer codes, one column a field, perhaps numbers and lists.

    Attributes
    ----------
    X_train, X_test : ndarray of int64, shape (n, F)
        Codes of field j lie in ``[0, cardinalities[j])``.
    y_train, y_test : ndarray of float32, shape (n,) or (n, 2)
        0 or 1: the click, or click and conversion.
    w_test : ndarray of float64, shape (n_test,)
        Weights of the test AUC.
    cardinalities : list of int, length F
        Rows that field j's embedding table needs.
    Z_train, Z_test : ndarray of float32, shape (n, K)
        Standardised numbers; K = 0 where there are none.
    lists_train, lists_test : dict of int to Lists
        Histories by the field whose table they share; entry t of all of a row's lists describes
        the same event.
    n_user_fields : int
        The first so many fields describe the user, the others the item: what two towers read.
    """

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    w_test: np.ndarray
    cardinalities: list
    Z_train: np.ndarray
    Z_test: np.ndarray
    lists_train: dict = field(default_factory=dict)
    lists_test: dict = field(default_factory=dict)
    n_user_fields: int = 1

    @property
    def names(self):
        """Names of the fields, as the peers want to have them."""
        return [f"field_{j}" for j in range(len(self.cardinalities))]

    @property
    def numbers(self):
        """Names of the numbers."""
        return [f"number_{k}" for k in range(self.Z_train.shape[1])]

    @property
    def lists(self):
        """``{name of the list: name of the field whose table it shares}``."""
        return {f"hist_field_{j}": f"field_{j}" for j in self.lists_train}

    @property
    def max_len(self):
        """Entries of the longest list, train and test; what lists are padded to."""
        both = [*self.lists_train.values(), *self.lists_test.values()]
        return max([1, *(int(lists.lengths.max(initial=0)) for lists in both)])

    def inputs(self, part, rows=slice(None)):
        """Columns of the rows of a part, each contiguous: fields, then numbers, then lists.

        Parameters
        ----------
        part : {"train", "test"}
        rows : slice

        Returns
        -------
        dict of str to ndarray
            Codes (m,) int64, numbers (m,) float32, lists (m, max_len) int64.
        """
        X, Z, lists = (getattr(self, f"{name}_{part}") for name in ("X", "Z", "lists"))
        columns = {name: X[rows, j].copy() for j, name in enumerate(self.names)}
        columns |= {name: Z[rows, k].copy() for k, name in enumerate(self.numbers)}
        for name, one in zip(self.lists, lists.values()):
            columns[name] = one.take(rows).padded(self.max_len)
        return columns

    def without_numbers(self):
        """The same rows with no numbers, for a model that has no place for them."""
        return replace(self, Z_train=self.Z_train[:, :0], Z_test=self.Z_test[:, :0])

    def sample(self, n_rows, seed):
        """The same test rows, and a random sample of the training rows."""
        rows = np.random.default_rng(seed).permutation(len(self.y_train))[:n_rows]
        return replace(
            self,
            X_train=self.X_train[rows],
            y_train=self.y_train[rows],
            Z_train=self.Z_train[rows],
            lists_train={j: lists.take(rows) for j, lists in self.lists_train.items()},
        )


def load_data(path, model="fm", max_rows=None, seed=0):
    """Read and check the .npz that ``README.md`` describes, and keep what a model reads.

    Raises
    ------
    ValueError
        If an array is missing or has another shape, a code lies outside its field's table, or
        the model needs other labels.
    """
    with np.load(path) as arrays:
        if missing := sorted(set(_REQUIRED) - set(arrays.files)):
            raise ValueError(f"{path} must hold the arrays {sorted(_REQUIRED)}; missing: {missing}")
        y_test = arrays["y_test"].astype(np.float32)
        data = Data(
            X_train=arrays["X_train"].astype(np.int64),
            y_train=arrays["y_train"].astype(np.float32),
            X_test=arrays["X_test"].astype(np.int64),
            y_test=y_test,
            w_test=arrays["w_test"] if "w_test" in arrays.files else np.ones(len(y_test)),
            cardinalities=[int(c) for c in arrays["cardinalities"]],
            **{f"Z_{part}": _numbers(arrays, part, model) for part in ("train", "test")},
            **{f"lists_{part}": _lists(arrays, part, model) for part in ("train", "test")},
            n_user_fields=int(arrays["n_user_fields"]) if "n_user_fields" in arrays.files else 1,
        )
    _check(data)
    if (data.y_train.ndim == 2) != (model in TWO_LABELS):
        wanted = "(n, 2): click and conversion" if model in TWO_LABELS else "(n,)"
        raise ValueError(f"y_train of model {model} must have shape {wanted}, got {y_test.shape}")
    if max_rows is not None and max_rows < len(data.y_train):
        data = data.sample(max_rows, seed)
    return data


def _numbers(arrays, part, model):
    name = f"Z_{part}"
    if name not in arrays.files or model not in READS_NUMBERS:
        return np.empty((len(arrays[f"y_{part}"]), 0), dtype=np.float32)
    return arrays[name].astype(np.float32)


def _lists(arrays, part, model):
    if model not in READS_LISTS:
        return {}
    matches = (re.fullmatch(rf"hist_{part}_(\d+)_values", name) for name in arrays.files)
    fields = sorted(int(match[1]) for match in matches if match)
    return {
        j: Lists(
            *(arrays[f"hist_{part}_{j}_{kind}"].astype(np.int64) for kind in ("values", "offsets"))
        )
        for j in fields
    }


def _check(data):
    for part in ("train", "test"):
        X, y, Z = (getattr(data, f"{name}_{part}") for name in ("X", "y", "Z"))
        if X.shape != (len(y), len(data.cardinalities)):
            raise ValueError(
                f"X_{part} must have shape (len(y_{part}), len(cardinalities)) = "
                f"{(len(y), len(data.cardinalities))}, got {X.shape}"
            )
        for j, codes in enumerate(X.T):
            _check_codes(codes, 0, data.cardinalities[j], f"field {j} in X_{part}")
        if y.shape[1:] not in ((), (2,)):
            raise ValueError(f"y_{part} must have shape (n,) or (n, 2), got {y.shape}")
        if Z.shape != (len(y), data.Z_train.shape[1]) or not np.isfinite(Z).all():
            raise ValueError(
                f"Z_{part} must hold finite numbers, of shape (len(y_{part}), K) with the same K "
                f"in train and test, got {Z.shape}"
            )
        _check_lists(data, part, len(y))
    if data.lists_train.keys() != data.lists_test.keys():
        raise ValueError(
            f"train and test must have lists of the same fields, got {sorted(data.lists_train)} "
            f"and {sorted(data.lists_test)}"
        )
    if len(data.w_test) != len(data.y_test):
        raise ValueError(
            f"w_test must have one weight a test row ({len(data.y_test)}), got {len(data.w_test)}"
        )


def _check_codes(codes, lowest, cardinality, what):
    if not len(codes):
        return
    low, high = codes.min(), codes.max()
    if low < lowest or high >= cardinality:
        raise ValueError(
            f"codes of {what} must lie in [{lowest}, {cardinality}), got {low} to {high}: "
            "cardinalities count the rows of a table, code 0 (padding of lists) included"
        )


def _check_lists(data, part, n_rows):
    lists = getattr(data, f"lists_{part}")
    for j, one in lists.items():
        name = f"hist_{part}_{j}"
        if j >= len(data.cardinalities):
            raise ValueError(f"{name} names field {j} of {len(data.cardinalities)}")
        ends = (len(one.offsets), one.offsets[0], one.offsets[-1])
        if ends != (n_rows + 1, 0, len(one.values)) or (one.lengths < 0).any():
            raise ValueError(
                f"{name}_offsets must have {n_rows + 1} entries that rise from 0 to "
                f"{len(one.values)}, got {ends[0]}, from {ends[1]} to {ends[2]}"
            )
        _check_codes(one.values, 1, data.cardinalities[j], f"{name}_values")
        if not np.array_equal(one.offsets, next(iter(lists.values())).offsets):
            raise ValueError(
                f"lists describe the same events, so their offsets must be equal; {name}_offsets "
                f"differ from those of field {next(iter(lists))}"
            )
