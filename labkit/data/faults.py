"""What happens to a sample that cannot be trained on: the run stops at once, or the sample is counted and listed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

POLICIES = ("fail", "skip")


class SampleError(ValueError):
    """A sample that cannot be trained on. The message names its file and line and says what to do.

    Attributes:
        path: the JSONL file.
        line: its line, counted from 1; None if the fault is that of the whole file.
        fault: the kind of fault, the same words for every sample that has it, such as "missing audio".
    """

    def __init__(self, path: Path, line: int | None, fault: str, advice: str) -> None:
        self.path, self.line, self.fault = path, line, fault
        super().__init__(f"{path}{'' if line is None else f':{line}'}: {fault}: {advice}")


class Faults:
    """Applies a policy to faulty samples and remembers every one of them.

    Args:
        policy: "fail" raises the first fault; "skip" leaves faulty samples out, counted and listed.

    Raises:
        ValueError: there is no such policy.
    """

    def __init__(self, policy: str = "fail") -> None:
        if policy not in POLICIES:
            raise ValueError(f"a fault's policy is {' or '.join(map(repr, POLICIES))}, not {policy!r}")
        self.policy = policy
        self._errors: dict[tuple[Path, int | None], SampleError] = {}

    def add(self, error: SampleError) -> None:
        """Raise the error, or remember it; a sample that is met again, in a later epoch, counts once.

        Raises:
            SampleError: the error given, where the policy is "fail".
        """
        if self.policy == "fail":
            raise error
        self._errors.setdefault((error.path, error.line), error)

    @property
    def errors(self) -> list[SampleError]:
        """Every fault so far, in the order met."""
        return list(self._errors.values())

    @property
    def counts(self) -> dict[str, int]:
        """How many samples were left out for each kind of fault."""
        return dict(Counter(error.fault for error in self._errors.values()))

    def __len__(self) -> int:
        return len(self._errors)

    def __str__(self) -> str:
        return "\n".join(map(str, self._errors.values())) or "no faulty sample"
