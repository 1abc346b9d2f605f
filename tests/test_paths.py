"""The cache goes where it is told, and weights lie in the package."""

import pytest

from labkit import paths


def test_the_cache_is_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv(paths.CACHE_VARIABLE, str(tmp_path / "cache"))
    assert paths.cache_folder("corpus", "english") == tmp_path / "cache" / "corpus" / "english"
    assert (tmp_path / "cache" / "corpus" / "english").is_dir()


def test_without_the_variable_it_is_the_platforms_own_place(tmp_path, monkeypatch):
    monkeypatch.delenv(paths.CACHE_VARIABLE, raising=False)
    monkeypatch.setattr(paths, "user_cache_path", lambda name, appauthor: tmp_path / name)
    assert paths.cache_folder() == tmp_path / "labkit"


def test_a_file_in_the_caches_place_is_named(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv(paths.CACHE_VARIABLE, str(tmp_path / "cache"))
    with pytest.raises(NotADirectoryError, match=paths.CACHE_VARIABLE):
        paths.cache_folder()


def test_weights_lie_in_the_package():
    assert paths.weights_folder().parent.name == "labkit"
