"""The folder where loaders keep what they have built, and writes that never leave half a file."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_ENVIRONMENT_VARIABLE = "SK_ADREC_DATA"


def get_data_home(data_home: str | os.PathLike[str] | None = None) -> str:
    """Return the folder of the loaders' caches, and create it if it does not exist.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder; ``~`` is expanded. None stands for the environment variable ``SK_ADREC_DATA``
        and, where that is not set, for ``~/sk_adrec_data``.

    Returns
    -------
    data_home : str
        The path of the folder.

    Examples
    --------
    >>> import os, tempfile
    >>> from sk_adrec.datasets import get_data_home
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     home = get_data_home(os.path.join(folder, "logs"))
    ...     os.path.isdir(home)
    True
    """
    if data_home is None:
        data_home = os.environ.get(_ENVIRONMENT_VARIABLE) or os.path.join("~", "sk_adrec_data")
    folder = os.path.expanduser(data_home)
    os.makedirs(folder, exist_ok=True)
    return folder


def clear_data_home(data_home: str | os.PathLike[str] | None = None) -> None:
    """Delete the folder of the loaders' caches and everything in it.

    Parameters
    ----------
    data_home : str or path-like, default=None
        As in :func:`get_data_home`.

    Examples
    --------
    >>> import os, tempfile
    >>> from sk_adrec.datasets import clear_data_home, get_data_home
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     home = get_data_home(os.path.join(folder, "logs"))
    ...     clear_data_home(home)
    ...     os.path.exists(home)
    False
    """
    shutil.rmtree(get_data_home(data_home))


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table as Parquet so that `path` holds all of it or does not exist.

    The rows go to a temporary file beside `path`, which then takes its name in one step: neither an
    interrupted build nor a second process that builds the same file leaves a damaged cache.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    os.close(descriptor)
    try:
        pq.write_table(table, temporary, compression="zstd")
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read_parquet(path: Path) -> pa.Table:
    """Read one file of a cache.

    Raises
    ------
    OSError
        If the file is damaged; the message says to delete it.
    """
    try:
        # A file handle, not a path: folder names such as "rate=0.02" would be read as partitions.
        with path.open("rb") as file:
            return pq.read_table(file)
    except pa.ArrowInvalid as error:
        raise OSError(
            f"{path} is not a readable Parquet file: {error}. Delete it; it is rebuilt when "
            "it is next needed."
        ) from error
