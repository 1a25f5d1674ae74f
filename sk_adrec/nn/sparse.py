"""Operations whose cost is that of the rows a batch touches, not of the table.

On the CPU the sums over repeated rows are scipy's sparse products, which run an order of magnitude
faster than torch's ``index_add_`` and ``embedding_dense_backward`` at the sizes of a batch; on
other devices they are torch's own.
"""

from __future__ import annotations

import threading

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.autograd import Function


def unique_rows(index: Tensor, n_rows: int) -> tuple[Tensor, Tensor]:
    """The distinct rows of a batch, ascending, and where each entry went.

    Parameters
    ----------
    index : Tensor of shape (m,), int
        Rows of a table, repeated as often as the batch uses them.
    n_rows : int
        Rows of the table.

    Returns
    -------
    rows : Tensor of shape (u,), int64
        Each row once.
    inverse : Tensor of shape (m,), int32 on the CPU, int64 elsewhere
        ``rows[inverse] == index``.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.nn import unique_rows
    >>> rows, inverse = unique_rows(torch.tensor([9, 4, 9]), n_rows=1000)
    >>> rows.tolist(), inverse.tolist()
    ([4, 9], [1, 0, 1])
    """
    if index.device.type != "cpu":
        return torch.unique(index.long(), return_inverse=True)
    # numpy converts other index types anew in each of the four passes.
    flat = index.numpy().astype(np.intp, copy=False)
    position = _scratch(n_rows)
    entry = np.arange(len(flat), dtype=np.int32)
    position[flat] = entry
    # Of the entries that share a row the last one written stands for all.
    rows = np.sort(flat[position.take(flat) == entry])
    position[rows] = entry[: len(rows)]
    return torch.from_numpy(rows), torch.from_numpy(position.take(flat))


_LOCAL = threading.local()


def _scratch(n_rows: int) -> np.ndarray:
    """An int32 array of at least `n_rows`, kept per thread and never cleared: a scan of the table
    or a fresh allocation in each batch would cost more than all else at millions of rows."""
    position = getattr(_LOCAL, "position", None)
    if position is None or len(position) < n_rows:
        position = _LOCAL.position = np.empty(n_rows, dtype=np.int32)
    return position


class _TakeRows(Function):
    @staticmethod
    def forward(ctx, table, rows, sparse_grad):
        ctx.save_for_backward(rows)
        ctx.size, ctx.sparse_grad = table.shape, sparse_grad
        return table.index_select(0, rows)

    @staticmethod
    def backward(ctx, grad):
        (rows,) = ctx.saved_tensors
        if not ctx.sparse_grad:
            return grad.new_zeros(ctx.size).index_copy_(0, rows, grad), None, None
        gradient = torch.sparse_coo_tensor(
            rows[None], grad, ctx.size, is_coalesced=True, check_invariants=False
        )
        return gradient, None, None


def take_rows(table: Tensor, rows: Tensor, sparse_grad: bool = True) -> Tensor:
    """``table[rows]`` for DISTINCT rows, with a gradient that holds those rows only.

    Parameters
    ----------
    table : Tensor of shape (n_rows, d)
        The parameter.
    rows : Tensor of shape (u,), int64, distinct
        As :func:`unique_rows` returns them.
    sparse_grad : bool, default=True
        False gives a dense gradient, for optimisers that know no sparse ones.

    Returns
    -------
    Tensor of shape (u, d)
        The rows, differentiable with respect to `table`.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.nn import take_rows
    >>> table = torch.zeros(1000, 2, requires_grad=True)
    >>> take_rows(table, torch.tensor([4, 9])).sum().backward()
    >>> table.grad.coalesce().indices()
    tensor([[4, 9]])
    """
    return _TakeRows.apply(table, rows, sparse_grad)


def _csr(index: np.ndarray, offsets: np.ndarray, x: np.ndarray | None, n_rows: int, dtype):
    data = np.ones(len(index), dtype=dtype) if x is None else x
    # scipy wants indices and offsets of one type, and would copy the longer array to get it.
    offsets = offsets.astype(index.dtype, copy=False)
    return sparse.csr_matrix((data, index, offsets), shape=(len(offsets) - 1, n_rows), copy=False)


class _SparseMatmul(Function):
    @staticmethod
    def forward(ctx, table, index, offsets, x):
        if table.device.type == "cpu":
            values = table.numpy()
            matrix = _csr(
                index.numpy(),
                offsets.numpy(),
                None if x is None else x.detach().numpy(),
                len(values),
                values.dtype,
            )
            ctx.matrix = matrix
            _keep_for_x(ctx, x, table, index, offsets)
            return torch.from_numpy(matrix @ values)
        data = table.new_ones(len(index)) if x is None else x
        row = rows_of_entries(offsets)
        ctx.entries, ctx.n_rows = (index.long(), row, data), len(table)
        _keep_for_x(ctx, x, table, index, offsets)
        out = table.new_zeros(len(offsets) - 1, table.shape[1])
        return out.index_add_(0, row, table[index.long()] * data[:, None])

    @staticmethod
    def backward(ctx, grad):
        grad_x = None
        if ctx.needs_input_grad[3]:
            table, index, offsets = ctx.saved_tensors
            row = rows_of_entries(offsets)
            grad_x = (grad.index_select(0, row) * table.index_select(0, index)).sum(1)
        if not ctx.needs_input_grad[0]:
            return None, None, None, grad_x
        if grad.device.type == "cpu":
            # A sum over the batch arrives as an expanded (stride 0) gradient.
            dense = np.ascontiguousarray(grad.numpy())
            return torch.from_numpy(ctx.matrix.T @ dense), None, None, grad_x
        index, row, data = ctx.entries
        out = grad.new_zeros(ctx.n_rows, grad.shape[1])
        return out.index_add_(0, index, grad[row] * data[:, None]), None, None, grad_x


def _keep_for_x(ctx, x, table, index, offsets):
    """What the gradient of x needs, kept only where x has one."""
    if x is not None and x.requires_grad:
        ctx.save_for_backward(table, index, offsets)


def rows_of_entries(offsets: Tensor) -> Tensor:
    """The row of each entry of flat lists, shape (m,), int64, from offsets of shape (B + 1,)."""
    rows = torch.arange(len(offsets) - 1, device=offsets.device)
    return torch.repeat_interleave(rows, offsets.diff())


def sparse_matmul(table: Tensor, index: Tensor, offsets: Tensor, x: Tensor | None = None) -> Tensor:
    """Row ``i`` is the sum of ``x[j] * table[index[j]]`` over its entries j.

    Parameters
    ----------
    table : Tensor of shape (u, d)
        Usually the rows of a batch, see :func:`take_rows`.
    index : Tensor of shape (m,), int
        The row of `table` of each entry.
    offsets : Tensor of shape (B + 1,), int
        Row ``i`` has the entries ``offsets[i]:offsets[i + 1]``.
    x : Tensor of shape (m,) or None, default=None
        The weight of each entry; None stands for ones.

    Returns
    -------
    Tensor of shape (B, d)
        Differentiable with respect to `table` and `x`; zeros for a row without entries.

    Examples
    --------
    Two lists, of the entries 0 and 1, and of 1 alone; their sums, then their means:

    >>> import torch
    >>> from sk_adrec.nn import sparse_matmul
    >>> table = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> index, offsets = torch.tensor([0, 1, 1]), torch.tensor([0, 2, 3])
    >>> sparse_matmul(table, index, offsets)
    tensor([[1., 2.],
            [0., 2.]])
    >>> sparse_matmul(table, index, offsets, torch.tensor([0.5, 0.5, 1.0]))
    tensor([[0.5000, 1.0000],
            [0.0000, 2.0000]])
    """
    return _SparseMatmul.apply(table, index, offsets, x)


class _GatherRows(Function):
    @staticmethod
    def forward(ctx, table, index, sparse_grad):
        ctx.save_for_backward(index)
        ctx.size, ctx.sparse_grad = table.shape, sparse_grad
        return torch.nn.functional.embedding(index, table)

    @staticmethod
    def backward(ctx, grad):
        (index,) = ctx.saved_tensors
        n_rows, d = ctx.size
        index, grad = index.reshape(-1), grad.reshape(-1, d)
        rows, inverse = unique_rows(index, n_rows)
        summed = _sum_by(inverse, grad, len(rows))
        if not ctx.sparse_grad:
            return grad.new_zeros(ctx.size).index_copy_(0, rows, summed), None, None
        gradient = torch.sparse_coo_tensor(
            rows[None], summed, ctx.size, is_coalesced=True, check_invariants=False
        )
        return gradient, None, None


def gather_rows(table: Tensor, index: Tensor, sparse_grad: bool = True) -> Tensor:
    """``table[index]`` for any index, with a coalesced gradient of the rows that occur.

    Parameters
    ----------
    table : Tensor of shape (n_rows, d)
        The parameter.
    index : Tensor of any shape, int
        Rows of the table; they may repeat.
    sparse_grad : bool, default=True
        False gives a dense gradient, for optimisers that know no sparse ones.

    Returns
    -------
    Tensor of shape (\\*index.shape, d)
        The rows, differentiable with respect to `table`.

    Examples
    --------
    The gradient of a row that was used twice counts twice, and is held once:

    >>> import torch
    >>> from sk_adrec.nn import gather_rows
    >>> table = torch.zeros(1000, 1, requires_grad=True)
    >>> gather_rows(table, torch.tensor([[9, 4], [9, 9]])).sum().backward()
    >>> gradient = table.grad.coalesce()
    >>> gradient.indices().tolist(), gradient.values().flatten().tolist()
    ([[4, 9]], [1.0, 3.0])
    """
    return _GatherRows.apply(table, index, sparse_grad)


class _TakeEntries(Function):
    @staticmethod
    def forward(ctx, table, index):
        ctx.save_for_backward(index)
        ctx.n_rows = len(table)
        return torch.nn.functional.embedding(index, table)

    @staticmethod
    def backward(ctx, grad):
        (index,) = ctx.saved_tensors
        d = grad.shape[-1]
        return _sum_by(index.reshape(-1), grad.reshape(-1, d), ctx.n_rows), None


def take_entries(table: Tensor, index: Tensor) -> Tensor:
    """``table[index]`` for a table as small as a batch: its gradient is dense.

    Parameters
    ----------
    table : Tensor of shape (u, d)
        Usually the rows of a batch, see :func:`take_rows`.
    index : Tensor of any shape, int
        Rows of the table; they may repeat.

    Returns
    -------
    Tensor of shape (\\*index.shape, d)
        The rows, differentiable with respect to `table`.

    Examples
    --------
    Each distinct id of a batch is looked up once, then spread over its entries:

    >>> import torch
    >>> from sk_adrec.nn import take_entries, take_rows, unique_rows
    >>> table = torch.arange(1000.0)[:, None]
    >>> rows, inverse = unique_rows(torch.tensor([9, 4, 9]), n_rows=1000)
    >>> take_entries(take_rows(table, rows), inverse).flatten()
    tensor([9., 4., 9.])
    """
    return _TakeEntries.apply(table, index)


def _sum_by(index: Tensor, values: Tensor, n_rows: int) -> Tensor:
    """Row r is the sum of ``values[j]`` over the entries j with ``index[j] == r``."""
    if values.device.type != "cpu":
        out = values.new_zeros(n_rows, values.shape[1])
        return out.index_add_(0, index.long(), values)
    each = np.arange(len(index) + 1, dtype=np.int32)
    dense = np.ascontiguousarray(values.numpy())
    return torch.from_numpy(_csr(index.numpy(), each, None, n_rows, dense.dtype).T @ dense)
