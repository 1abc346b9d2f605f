"""An exercise says right, wrong and where, or not attempted."""

import pytest

from labkit.views.exercises import agree, check


def double(x: int) -> int:
    return 2 * x


def nothing_yet(x: int) -> int:
    raise NotImplementedError


def breaks(x: int) -> int:
    return 1 // x


@pytest.mark.parametrize(
    ("answer", "right", "said"),
    [
        (double, True, "✓ right, on all 3 cases"),
        (lambda x: x + 1, False, "should be 0, yours gives 1"),
        (nothing_yet, False, "not attempted yet"),
        (breaks, False, "breaks(0) raises ZeroDivisionError"),
    ],
)
def test_verdicts(answer, right: bool, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(answer, double, [(0,), (1,), (2,)]) is right
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "expected", "equal"),
    [
        (0.1 + 0.2, 0.3, True),
        (0.3001, 0.3, False),
        (1, 1.0, True),
        ("0.3", 0.3, False),
        ((1, [0.1 + 0.2]), (1, [0.3]), True),
        ([1, 2], (1, 2), False),
        ([1], [1, 2], False),
        (None, None, True),
        (None, 0.0, False),
    ],
)
def test_numbers_agree_up_to_rounding(given, expected, equal):
    assert agree(given, expected) is equal
