"""The three file formats of MovieLens, each read into ratings, users and movies.

A folder is a `pathlib.Path` or a `zipfile.Path`: nothing needs to be unpacked.
"""

import pandas as pd
import pyarrow as pa

_RATINGS_COLUMNS = ["user_id", "item_id", "rating", "timestamp"]
_NO_GENRES = "(no genres listed)"

# The genres of ml-100k's flag columns, after the first one, "unknown"; from its README.
_GENRES_100K = [
    *["Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"],
    *["Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller"],
    *["War", "Western"],
]
# The occupations of ml-1m by their codes 0 to 20, from its README.
_OCCUPATIONS_1M = [
    *["other", "academic/educator", "artist", "clerical/admin", "college/grad student"],
    *["customer service", "doctor/health care", "executive/managerial", "farmer", "homemaker"],
    *["K-12 student", "lawyer", "programmer", "retired", "sales/marketing", "scientist"],
    *["self-employed", "technician/engineer", "tradesman/craftsman", "unemployed", "writer"],
]


def read_100k(folder):
    """ml-100k: `u.data` separated by tabs, `u.user` and `u.item` by bars."""
    ratings = _read(folder / "u.data", "\t", _RATINGS_COLUMNS, range(4))
    users = _read(
        folder / "u.user", "|", ["user_id", "age", "gender", "occupation", "zip_code"], range(5)
    )
    movies = _read(
        folder / "u.item", "|", ["item_id", "title", *_GENRES_100K], [0, 1, *range(6, 24)]
    )
    flags = movies[_GENRES_100K].to_numpy() == 1
    genres = [[name for name, on in zip(_GENRES_100K, row) if on] for row in flags]
    return ratings, _describe_users(users), _movies(movies["item_id"], movies["title"], genres)


def read_dat(folder):
    """ml-1m and ml-10m: fields separated by two colons; only ml-1m describes its users."""
    # pandas' fast parser knows separators of one character: every second field is empty.
    ratings = _read(folder / "ratings.dat", ":", _RATINGS_COLUMNS, range(0, 8, 2))
    users = None
    if (folder / "users.dat").is_file():
        columns = ["user_id", "gender", "age", "occupation", "zip_code"]
        users = _read(folder / "users.dat", ":", columns, range(0, 10, 2))
        users["occupation"] = users["occupation"].map(dict(enumerate(_OCCUPATIONS_1M)))
        users = _describe_users(users)
    item_id, titles, genres = [], [], []
    for line in _lines((folder / "movies.dat").read_bytes()):
        # A title may hold colons, so it is what is left between the first and the last field.
        first, rest = line.split("::", 1)
        title, last = rest.rsplit("::", 1)
        item_id.append(int(first))
        titles.append(title)
        genres.append(_split_genres(last))
    return ratings, users, _movies(item_id, titles, genres)


def read_csv(folder):
    """ml-20m and later: CSV with a header."""
    with (folder / "ratings.csv").open("rb") as file:
        ratings = pd.read_csv(file)
    names = {"userId": "user_id", "movieId": "item_id"}
    ratings = ratings.rename(columns=names)[_RATINGS_COLUMNS]
    ratings["rating"] = ratings["rating"].astype("float64")
    with (folder / "movies.csv").open("rb") as file:
        movies = pd.read_csv(file, encoding="utf-8")
    genres = [_split_genres(joined) for joined in movies["genres"]]
    return ratings, None, _movies(movies["movieId"], movies["title"], genres)


def _read(path, separator, names, positions):
    dtype = {
        "user_id": "int64",
        "item_id": "int64",
        "rating": "float64",
        "timestamp": "int64",
        # Zip codes may start with a zero or hold letters.
        "zip_code": "str",
    }
    with path.open("rb") as file:
        frame = pd.read_csv(
            file,
            sep=separator,
            header=None,
            usecols=list(positions),
            encoding="latin-1",
            dtype={
                position: dtype[name] for position, name in zip(positions, names) if name in dtype
            },
            # A quotation mark in a title is only that.
            quoting=3,
        )
    return frame.set_axis(names, axis=1)


def _lines(content):
    """ml-1m is in Latin-1, ml-10m in UTF-8, which a Latin-1 accent followed by a letter is not."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    # Not splitlines, which also ends lines at characters of Latin-1.
    return text.replace("\r\n", "\n").rstrip("\n").split("\n")


def _split_genres(joined):
    return [] if joined == _NO_GENRES else joined.split("|")


def _describe_users(users):
    users = users[["user_id", "gender", "age", "occupation", "zip_code"]]
    return users.astype({"gender": "category", "occupation": "category"})


def _movies(item_id, title, genres):
    lists = pa.array(genres, type=pa.list_(pa.string()))
    return pd.DataFrame(
        {
            "item_id": pd.Series(item_id, dtype="int64"),
            "title": pd.Series(title, dtype="str"),
            "genres": pd.Series(lists, dtype=pd.ArrowDtype(lists.type)),
        }
    )
