"""Checking a reader's answer to an exercise against the solution."""

from collections.abc import Callable, Iterable


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
        if given != expected:
            print(f"✗ {call} should be {expected!r}, yours gives {given!r}")
            return False
    print(f"✓ right, on all {len(cases)} cases")
    return True
