"""Fixtures of several test modules."""

from collections.abc import Iterator

import pytest

from labkit.paths import CACHE_VARIABLE


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A module's own empty cache folder, so that its tests neither find nor leave anything in the machine's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Share the tests out among workers: a file stays together for its fixtures, each lesson goes by itself.

    The lessons come first. They take longest, and a worker that met them last would be waited for.
    """
    for item in items:
        lesson = item.get_closest_marker("notebook")
        item.add_marker(pytest.mark.xdist_group(item.name if lesson else item.path.name))
    items.sort(key=lambda item: item.get_closest_marker("notebook") is None)
