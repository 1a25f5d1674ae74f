"""MovieLens ratings, for those who have the files or may download them from GroupLens."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
from sklearn.utils import Bunch

from ._data_home import get_data_home
from ._movielens_files import read_100k, read_csv, read_dat

_URL = "https://files.grouplens.org/datasets/movielens/{}.zip"
_TIMEOUT_SECONDS = 60
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class _Variant:
    folder: str  # in GroupLens's archive
    ratings_file: str  # by which a folder is recognised
    read: Callable
    md5: str | None  # published beside the archive; None where GroupLens replaces it at times


_VARIANTS = {
    "ml-100k": _Variant("ml-100k", "u.data", read_100k, "0e33842e24a9c977be4e0107933c0723"),
    "ml-1m": _Variant("ml-1m", "ratings.dat", read_dat, "c4d9eecfca2ab87c1945afe126590906"),
    "ml-10m": _Variant("ml-10M100K", "ratings.dat", read_dat, "ce571fd55effeba0271552578f2648bd"),
    "ml-20m": _Variant("ml-20m", "ratings.csv", read_csv, "cd245b17a1ae2cc31bb14903e1204af3"),
    "ml-25m": _Variant("ml-25m", "ratings.csv", read_csv, "6b51fb2759a8657d3bfcbfc42b592ada"),
    "ml-32m": _Variant("ml-32m", "ratings.csv", read_csv, "d472be332d4daa821edc399621853b57"),
    "ml-latest-small": _Variant("ml-latest-small", "ratings.csv", read_csv, None),
}


def fetch_movielens(
    variant: str = "ml-1m",
    *,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
    as_frame: bool = True,
) -> Bunch | tuple:
    """Load MovieLens ratings from local files, or download them from GroupLens.

    The data are not part of this package, and their terms bind you: research use only, no
    commercial use without permission, no endorsement implied, no redistribution of ml-100k, ml-1m
    and ml-10m, and publications cite [1]_. The archive's README has the exact words.

    Parameters
    ----------
    variant : str, default="ml-1m"
        "ml-100k", "ml-1m", "ml-10m", "ml-20m", "ml-25m", "ml-32m" or "ml-latest-small". The last
        one is replaced from time to time, so its results cannot be compared over years.
    data_home : str or path-like, default=None
        Where the files are: a folder that holds them, a folder that holds the unpacked archive
        (such as `ml-1m/`) or the archive (`ml-1m.zip`), or the archive itself. None stands for
        :func:`~sk_adrec.datasets.get_data_home`. A download is kept there as the archive.
    download_if_missing : bool, default=True
        Whether to download files that are missing. False raises instead: no network is touched.
    return_X_y : bool, default=False
        Return `(data, target)` instead of a Bunch.
    as_frame : bool, default=True
        False gives numpy arrays: data of shape (n_ratings, 3), int64, with the timestamp in
        seconds since 1970, and no frames.

    Returns
    -------
    movielens : :class:`~sklearn.utils.Bunch`
        data : DataFrame of shape (n_ratings, 3)
            `user_id` and `item_id` (category, of integers), `timestamp` (datetime64[s], UTC,
            without a time zone). Sorted by time; equal timestamps keep the order of the file.
        target : Series of shape (n_ratings,), float64
            The rating in stars, 0.5 to 5.
        ratings : DataFrame of shape (n_ratings, 4)
            `user_id` and `item_id` as int64, `rating`, `timestamp`; to join with the next two.
        users : DataFrame of shape (n_users, 5) or None
            `user_id`, `gender`, `age` (ml-1m: the lower end of a bracket, 1 is under 18),
            `occupation`, `zip_code`. None for variants that do not describe users.
        movies : DataFrame of shape (n_movies, 3)
            `item_id`, `title`, `genres` (list column; empty where no genre is known).

        feature_names : list of str

        DESCR : str
            Sizes, terms and citation.

    (data, target) : tuple
        If `return_X_y` is True.

    Raises
    ------
    ValueError
        If `variant` is unknown, or a file is not in its format.
    OSError
        If the files are missing and `download_if_missing` is False, or the download fails or is
        damaged, or the local archive is. The message says what to put where.

    References
    ----------
    .. [1] F. M. Harper and J. A. Konstan. 2015. The MovieLens Datasets: History and Context. ACM
           Transactions on Interactive Intelligent Systems 5, 4, Article 19.
           https://doi.org/10.1145/2827872

    Examples
    --------
    >>> from sk_adrec.datasets import fetch_movielens
    >>> log = fetch_movielens("ml-1m")  # doctest: +SKIP
    >>> log.data.shape  # doctest: +SKIP
    (1000209, 3)
    """
    if variant not in _VARIANTS:
        known = ", ".join(f'"{name}"' for name in _VARIANTS)
        raise ValueError(f"variant must be one of {known}, got {variant!r}.")
    folder = _locate(variant, data_home, download_if_missing)
    try:
        ratings, users, movies = _VARIANTS[variant].read(folder)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise OSError(_damaged_message(folder, variant, error)) from error
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"The files in {folder} are not in the format of {variant}: {error}. Check `variant`, "
            f"or unpack {_URL.format(variant)} anew."
        ) from error

    ratings = ratings.sort_values("timestamp", kind="stable", ignore_index=True)
    ratings["timestamp"] = ratings["timestamp"].to_numpy().astype("datetime64[s]")
    data = ratings[["user_id", "item_id", "timestamp"]]
    target = ratings["rating"]
    bunch = Bunch(
        data=data.astype({"user_id": "category", "item_id": "category"}),
        target=target,
        ratings=ratings,
        users=users,
        movies=movies,
        feature_names=list(data.columns),
        DESCR=_description(),
    )
    if not as_frame:
        bunch.data = np.stack([data[name].to_numpy().astype(np.int64) for name in data], axis=1)
        bunch.target = target.to_numpy()
        bunch.ratings = bunch.users = bunch.movies = None
    return (bunch.data, bunch.target) if return_X_y else bunch


def _locate(variant, data_home, download_if_missing):
    """The folder that holds the files, on disk or inside an archive."""
    given = None if data_home is None else Path(data_home).expanduser()
    if given is not None and given.is_file():
        return _open_archive(given, variant)
    home = Path(get_data_home(data_home))
    folder = _find_folder(home, variant)
    if folder is not None:
        return folder
    archive = home / f"{variant}.zip"
    if not archive.exists():
        if not download_if_missing:
            raise OSError(_missing_message(variant, home, "download_if_missing=False"))
        _download(variant, archive)
    return _open_archive(archive, variant)


def _open_archive(archive, variant):
    try:
        folder = _find_folder(zipfile.Path(archive), variant)
    except zipfile.BadZipFile as error:
        raise OSError(_damaged_message(archive, variant, error)) from error
    if folder is None:
        missing = _VARIANTS[variant].ratings_file
        raise OSError(
            f"{archive} holds no {missing}, so it is not the archive of {variant}. Get it from "
            f"{_URL.format(variant)}."
        )
    return folder


def _find_folder(root, variant):
    names = [variant, _VARIANTS[variant].folder]
    for folder in [*(root / name for name in names), root]:
        if (folder / _VARIANTS[variant].ratings_file).is_file():
            return folder
    return None


def _download(variant, archive):
    """Download to a temporary file that takes its name only when it is complete and verified."""
    url, expected = _URL.format(variant), _VARIANTS[variant].md5
    digest = hashlib.md5(usedforsecurity=False)
    descriptor, temporary = tempfile.mkstemp(dir=archive.parent, prefix=variant, suffix=".tmp")
    try:
        with (
            os.fdopen(descriptor, "wb") as file,
            urlopen(url, timeout=_TIMEOUT_SECONDS) as response,
        ):
            while chunk := response.read(_CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
        if expected is not None and digest.hexdigest() != expected:
            raise OSError(
                f"{url} arrived damaged or was replaced: expected the MD5 checksum {expected}, got "
                f"{digest.hexdigest()}. Try again."
            )
        os.replace(temporary, archive)
    except (URLError, TimeoutError, ConnectionError) as error:
        os.unlink(temporary)
        raise OSError(_missing_message(variant, archive.parent, error)) from error
    except BaseException:
        os.unlink(temporary)
        raise


def _missing_message(variant, home, reason):
    files = Path(_VARIANTS[variant].folder, _VARIANTS[variant].ratings_file)
    return (
        f"Found neither {files} nor {variant}.zip in {home}, and nothing was downloaded "
        f"({reason}). Download {_URL.format(variant)} by hand into that folder, or pass the "
        "folder that holds the files as `data_home`."
    )


def _damaged_message(archive, variant, error):
    return (
        f"{archive} is damaged: {error}. Delete the archive; get it anew from "
        f"{_URL.format(variant)}."
    )


def _description():
    text = resources.files(__package__).joinpath("descr", "movielens.rst")
    return text.read_text(encoding="utf-8")
