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
