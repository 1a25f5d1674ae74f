"""MovieLens loading, from files made here; the network is never used."""

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal

from sk_adrec.datasets import _movielens, fetch_movielens

# Not in order of time; the last two ratings of user 1 share a second.
FILES_1M = {
    "ratings.dat": "1::10::5::978300760\n1::20::3::978302109\n1::30::4::978302109\n"
    "2::10::1::978298413\n",
    "users.dat": "1::F::1::10::04806\n2::M::56::16::70072-AB\n",
    "movies.dat": "10::Misérables, Les (1995)::Drama|Musical\n"
    "20::Star Wars: Episode IV :: A New Hope (1977)::Action\n"
    '30::"Quoted" (1999)::Film-Noir\n',
}
FILES_100K = {
    "u.data": "196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
    "u.user": "186|24|M|technician|85711\n196|53|F|other|T8H1N\n",
    "u.item": "242|Kolya (1996)|24-Jan-1997||http://x|" + "|".join("0" * 5 + "1" + "0" * 13) + "\n"
    "302|É (1997)|01-Jan-1997||http://y|" + "|".join("1" + "0" * 18) + "\n",
}
FILES_10M = {
    "ratings.dat": "1::122::5::838985046\n1::185::3.5::838983525\n",
    "movies.dat": "122::Été (1992)::Comedy|Romance\n185::Net, The (1995)::(no genres listed)\n",
}
FILES_CSV = {
    "ratings.csv": "userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n1,29,4,1112484676\n",
    "movies.csv": 'movieId,title,genres\n2,"Été, L\' (1995)",Adventure|Children\n'
    "29,Cité (1995),(no genres listed)\n",
}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(url, timeout):
        raise AssertionError(f"the test went to the network for {url}")

    monkeypatch.setattr(_movielens, "urlopen", refuse)


def write_folder(folder, files, encoding):
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode(encoding))
    return folder


def archive_bytes(folder, files, encoding="latin-1"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(f"{folder}/{name}", text.encode(encoding))
    return buffer.getvalue()


@pytest.fixture
def home(tmp_path):
    write_folder(tmp_path / "ml-1m", FILES_1M, "latin-1")
    return tmp_path


def serve(monkeypatch, content, md5="computed", variant="ml-1m"):
    """Let the download return `content`; the URLs asked for are collected."""
    urls = []

    def urlopen(url, timeout):
        urls.append(url)
        return io.BytesIO(content)

    if md5 == "computed":
        md5 = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(_movielens, "urlopen", urlopen)
    changed = replace(_movielens._VARIANTS[variant], md5=md5)
    monkeypatch.setitem(_movielens._VARIANTS, variant, changed)
    return urls


def test_ml_1m(home):
    log = fetch_movielens("ml-1m", data_home=home)
    expected = pd.DataFrame(
        {
            "user_id": [2, 1, 1, 1],
            "item_id": [10, 10, 20, 30],
            "rating": [1.0, 5.0, 3.0, 4.0],
            "timestamp": np.array(
                [978298413, 978300760, 978302109, 978302109], dtype="datetime64[s]"
            ),
        }
    )
    assert_frame_equal(log.ratings, expected)
    assert list(log.data.columns) == log.feature_names == ["user_id", "item_id", "timestamp"]
    assert isinstance(log.data["user_id"].dtype, pd.CategoricalDtype)
    assert list(log.data["item_id"]) == [10, 10, 20, 30]
    assert log.target.tolist() == [1.0, 5.0, 3.0, 4.0]

    assert log.users.to_dict("list") == {
        "user_id": [1, 2],
        "gender": ["F", "M"],
        "age": [1, 56],
        "occupation": ["K-12 student", "self-employed"],
        "zip_code": ["04806", "70072-AB"],
    }
    assert log.movies["title"].tolist() == [
        "Misérables, Les (1995)",
        "Star Wars: Episode IV :: A New Hope (1977)",
        '"Quoted" (1999)',
    ]
    assert [list(g) for g in log.movies["genres"]] == [
        ["Drama", "Musical"],
        ["Action"],
        ["Film-Noir"],
    ]
    assert str(log.movies["genres"].dtype) == "list<item: string>[pyarrow]"


def test_ml_100k(tmp_path):
    write_folder(tmp_path / "ml-100k", FILES_100K, "latin-1")
    log = fetch_movielens("ml-100k", data_home=tmp_path)
    assert log.ratings[["user_id", "item_id", "rating"]].to_numpy().tolist() == [
        [196, 242, 3],
        [186, 302, 3],
    ]
    assert log.users["occupation"].tolist() == ["technician", "other"]
    assert log.users["age"].tolist() == [24, 53]
    assert log.users["zip_code"].tolist() == ["85711", "T8H1N"]
    assert log.movies["title"].tolist() == ["Kolya (1996)", "É (1997)"]
    # The flag of "unknown" is no genre.
    assert [list(g) for g in log.movies["genres"]] == [["Comedy"], []]


def test_ml_10m_has_its_own_folder_name_utf8_and_no_users(tmp_path):
    write_folder(tmp_path / "ml-10M100K", FILES_10M, "utf-8")
    log = fetch_movielens("ml-10m", data_home=tmp_path)
    assert log.users is None
    assert log.target.tolist() == [3.5, 5.0]
    assert log.movies["title"].tolist() == ["Été (1992)", "Net, The (1995)"]
    assert [list(g) for g in log.movies["genres"]] == [["Comedy", "Romance"], []]


@pytest.mark.parametrize("variant", ["ml-20m", "ml-25m", "ml-32m", "ml-latest-small"])
def test_csv_variants(tmp_path, variant):
    write_folder(tmp_path / variant, FILES_CSV, "utf-8")
    log = fetch_movielens(variant, data_home=tmp_path)
    assert log.users is None
    assert log.ratings["item_id"].tolist() == [29, 2]
    assert log.target.tolist() == [4.0, 3.5]
    assert log.movies["title"].tolist() == ["Été, L' (1995)", "Cité (1995)"]
    assert [list(g) for g in log.movies["genres"]] == [["Adventure", "Children"], []]


def test_every_place_that_is_documented_gives_the_same(home, tmp_path_factory):
    expected = fetch_movielens(data_home=home)
    other = tmp_path_factory.mktemp("other")
    (other / "ml-1m.zip").write_bytes(archive_bytes("ml-1m", FILES_1M))
    flat = write_folder(tmp_path_factory.mktemp("flat") / "ratings of mine", FILES_1M, "latin-1")
    for place in (home / "ml-1m", other, other / "ml-1m.zip", str(flat)):
        log = fetch_movielens(data_home=place)
        assert_frame_equal(log.ratings, expected.ratings)
        assert_frame_equal(log.users, expected.users)
        assert_frame_equal(log.movies, expected.movies)
    assert not (other / "ml-1m").exists()


def test_data_home_defaults_to_the_environment_variable(home, monkeypatch):
    monkeypatch.setenv("SK_ADREC_DATA", str(home))
    assert len(fetch_movielens("ml-1m", download_if_missing=False).target) == 4


def test_windows_line_ends(tmp_path):
    files = {name: text.replace("\n", "\r\n") for name, text in FILES_1M.items()}
    write_folder(tmp_path / "ml-1m", files, "latin-1")
    log = fetch_movielens(data_home=tmp_path)
    assert list(log.movies["genres"].iloc[0]) == ["Drama", "Musical"]
    assert log.users["zip_code"].tolist() == ["04806", "70072-AB"]


def test_return_X_y_and_arrays(home):
    X, y = fetch_movielens(data_home=home, return_X_y=True)
    log = fetch_movielens(data_home=home)
    assert_frame_equal(X, log.data)
    assert y.equals(log.target)

    arrays = fetch_movielens(data_home=home, as_frame=False)
    assert arrays.data.dtype == np.int64
    assert_array_equal(arrays.data[0], [2, 10, 978298413])
    assert_array_equal(arrays.target, [1.0, 5.0, 3.0, 4.0])
    assert arrays.ratings is arrays.users is arrays.movies is None


def test_terms_and_citation_are_stated(home):
    description = fetch_movielens(data_home=home).DESCR
    for words in ("research use only", "no redistribution", "Harper and Joseph A. Konstan. 2015"):
        assert words in " ".join(description.split())


def test_download_is_verified_kept_and_not_repeated(tmp_path, monkeypatch):
    urls = serve(monkeypatch, archive_bytes("ml-1m", FILES_1M))
    for _ in range(2):
        assert len(fetch_movielens(data_home=tmp_path).target) == 4
    assert urls == ["https://files.grouplens.org/datasets/movielens/ml-1m.zip"]
    assert [path.name for path in tmp_path.iterdir()] == ["ml-1m.zip"]


def test_download_with_a_wrong_checksum_is_not_kept(tmp_path, monkeypatch):
    content = archive_bytes("ml-1m", FILES_1M)
    serve(monkeypatch, content, md5="0" * 32)
    message = f"expected the MD5 checksum {'0' * 32}, got {hashlib.md5(content).hexdigest()}"
    with pytest.raises(OSError, match=message):
        fetch_movielens(data_home=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_offline_says_what_to_do(tmp_path, monkeypatch):
    def offline(url, timeout):
        raise URLError("no route to host")

    monkeypatch.setattr(_movielens, "urlopen", offline)
    with pytest.raises(OSError, match="no route to host") as caught:
        fetch_movielens(data_home=tmp_path)
    message = str(caught.value)
    assert f"Found neither {Path('ml-1m', 'ratings.dat')} nor ml-1m.zip in {tmp_path}" in message
    assert "Download https://files.grouplens.org/datasets/movielens/ml-1m.zip by hand" in message
    assert list(tmp_path.iterdir()) == []


def test_connection_lost_midway_leaves_nothing(tmp_path, monkeypatch):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(_movielens, "urlopen", lambda url, timeout: Broken())
    with pytest.raises(OSError, match=r"reset by peer.*by hand"):
        fetch_movielens(data_home=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_download_if_missing_false_touches_no_network(tmp_path):
    with pytest.raises(OSError, match=r"download_if_missing=False.*pass the folder"):
        fetch_movielens(data_home=tmp_path, download_if_missing=False)


def test_damaged_archive(tmp_path):
    (tmp_path / "ml-1m.zip").write_bytes(b"not a zip file")
    for place in (tmp_path, tmp_path / "ml-1m.zip"):
        with pytest.raises(OSError, match=r"ml-1m\.zip is damaged: .*Delete the archive"):
            fetch_movielens(data_home=place)


def test_damaged_member_of_an_archive(tmp_path):
    content = bytearray(archive_bytes("ml-1m", {"ratings.dat": FILES_1M["ratings.dat"] * 200}))
    content[60] ^= 0xFF
    (tmp_path / "ml-1m.zip").write_bytes(bytes(content))
    with pytest.raises(OSError, match="is damaged"):
        fetch_movielens(data_home=tmp_path)


def test_archive_of_something_else(tmp_path):
    path = tmp_path / "photos.zip"
    path.write_bytes(archive_bytes("photos", {"list.txt": "1"}))
    with pytest.raises(OSError, match=r"photos\.zip holds no ratings\.dat.* ml-1m"):
        fetch_movielens(data_home=path)


def test_files_of_another_format_are_named(tmp_path):
    write_folder(tmp_path / "ml-1m", {**FILES_1M, "ratings.dat": "user,item\na,b\n"}, "latin-1")
    with pytest.raises(ValueError, match=r"are not in the format of ml-1m: .*Check `variant`"):
        fetch_movielens(data_home=tmp_path)


def test_unknown_variant():
    with pytest.raises(ValueError, match=r"one of \"ml-100k\", .*got '1m'\."):
        fetch_movielens("1m")
