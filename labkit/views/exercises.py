"""Checking a reader's answer to an exercise against the solution."""

import math
from collections.abc import Callable, Iterable
from numbers import Real


def check(answer: Callable, solution: Callable, cases: Iterable[tuple]) -> bool:
    """Try an answer on some cases; print right, or the first case that is not, and return which.

    An answer that raises ``NotImplementedError`` counts as not attempted yet.

    Args:
        answer: the reader's function.
        solution: what it should agree with.
        cases: the arguments of each call.
    """
    cases = list(cases)
    for case in cases:
        call = f"{answer.__name__}({', '.join(map(repr, case))})"
        expected = solution(*case)
        try:
            given = answer(*case)
        except NotImplementedError:
            print("… not attempted yet")
            return False
        except Exception as error:  # whatever the reader's code raises belongs to the verdict
            print(f"✗ {call} raises {type(error).__name__}: {error}")
            return False
        if not agree(given, expected):
            print(f"✗ {call} should be {expected!r}, yours gives {given!r}")
            return False
    print(f"✓ right, on all {len(cases)} cases")
    return True


def agree(given: object, expected: object) -> bool:
    """Whether two answers are equal; numbers up to rounding, for there is more than one order to add them in."""
    if isinstance(expected, list | tuple):
        return (
            type(given) is type(expected) and len(given) == len(expected) and all(map(agree, given, expected))
        )
    if isinstance(expected, float):
        return isinstance(given, Real) and math.isclose(given, expected, rel_tol=1e-9, abs_tol=1e-12)
    return bool(given == expected)
