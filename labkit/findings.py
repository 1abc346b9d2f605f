"""Findings as data: a lesson states a claim, asserts it, and records it with its number.

A lesson opens one :class:`Findings` and makes its claims where the evidence is::

    findings = Findings("01-speech-as-tokens", figures_folder)
    findings.claim(
        "the recogniser's errors on reconstructions",
        *ratio(errors, phonemes),
        goal="<= 0.04",
        source="section 3.1",
    )

A claim that reaches its goal is thereby asserted. A claim that does not is an :class:`AssertionError`, unless
the lesson states the number that *was* reached: then the claim is recorded and shown as *not reached*, with
its number, and what is asserted from then on is that number, so that getting worse still fails::

    findings.claim(..., goal="<= 0.04", reached=0.052, tolerance=0.004, source="section 3.1")

Few cases prove little: an estimate misses a goal, or has become worse, only where its whole 95% interval has. So a
lesson run on a tenth of its sentences is held to what a tenth of them can tell, and shows as *not reached* the same.
The other way round, a value that meets its goal while its interval reaches beyond it shows as *reached, uncertain*.

``make figures`` collects what all lessons recorded in ``figures/findings.json`` (see `labkit.gallery`).
"""

import json
import math
import operator
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

FINDINGS_FILE = "findings.json"
RESULT = "result"
LESSON = re.compile(r"\d\d-[a-z0-9]+(-[a-z0-9]+)*")
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


@dataclass(frozen=True)
class Goal:
    """Where a value should lie: ``">= 0.98"``, ``"<= 0.04"``, ``"> 1"``, ``"< 0.25"`` or ``"0.9..1.1"``."""

    text: str
    low: float = -math.inf
    high: float = math.inf
    strict: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a goal.

        Raises:
            ValueError: ``text`` is none of the five forms.
        """
        if match := re.fullmatch(rf"\s*(<=|>=|<|>)\s*({NUMBER})\s*", text):
            relation, bound = match[1], float(match[2])
            side = {"low": bound} if relation.startswith(">") else {"high": bound}
            return cls(f"{relation} {match[2]}", **side, strict=len(relation) == 1)
        match = re.fullmatch(rf"\s*({NUMBER})\s*\.\.\s*({NUMBER})\s*", text)
        if match and float(match[1]) <= float(match[2]):
            return cls(f"{match[1]}..{match[2]}", float(match[1]), float(match[2]))
        raise ValueError(f'a goal reads ">= 0.98", "<= 0.04", "> 1", "< 0.25" or "0.9..1.1", not {text!r}')

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies where the goal says."""
        if self.strict:
            return self.low < value < self.high
        return self.low <= value <= self.high

    def no_worse(self, value: float, reached: float, tolerance: float) -> bool:
        """Whether ``value`` is at most ``tolerance`` further from the goal than ``reached`` was."""
        return self._distance(value) <= self._distance(reached) + tolerance

    def nearest(self, low: float, high: float) -> float:
        """A number from ``low`` to ``high`` that reaches the goal, or else the one nearest to it."""
        return low if self.low == -math.inf else max(low, min(high, self.high))

    def _distance(self, value: float) -> float:
        return max(self.low - value, value - self.high, 0.0)


@dataclass(frozen=True)
class Finding:
    """One claim and what became of it; the fields of ``figures/findings.json``, in their order, :attr:`verdict` last.

    Attributes:
        lesson: the notebook's number and name, ``"01-speech-as-tokens"``.
        name: the claim in words.
        value: the number measured, an estimate from ``n`` cases.
        low: lower end of its 95% interval; equal to ``value`` where a quantity is counted, not estimated.
        high: upper end of that interval.
        n: the number of independent cases.
        goal: where ``value`` should lie, as :class:`Goal` reads it.
        holds: whether it does. The goal is asked of the value; the interval says how sure one may be.
        source: the paper's figure, table or section.
    """

    lesson: str
    name: str
    value: float
    low: float
    high: float
    n: int
    goal: str
    holds: bool
    source: str

    def __post_init__(self) -> None:
        if not LESSON.fullmatch(self.lesson):
            raise ValueError(
                f'a lesson is named like its notebook, "01-speech-as-tokens", not {self.lesson!r}'
            )
        for field in ("name", "source"):
            text = getattr(self, field)
            if not isinstance(text, str) or not text.strip() or "\n" in text:
                raise ValueError(f"a finding's {field} must be one line of text, got {text!r}")
        if not all(math.isfinite(number) for number in (self.value, self.low, self.high)):
            raise ValueError(f"{self.name!r}: {self.value} [{self.low}, {self.high}] is not a measurement")
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"{self.name!r}: {self.value} lies outside its interval [{self.low}, {self.high}]"
            )
        if self.n < 1:
            raise ValueError(f"{self.name!r} rests on n={self.n} cases; it needs at least one")
        if self.n == 1 and self.low != self.high:
            raise ValueError(
                f"{self.name!r}: one case has no interval [{self.low}, {self.high}]; say which n"
            )
        if self.holds != Goal.parse(self.goal).holds(self.value):
            raise ValueError(f"{self.name!r}: holds={self.holds} contradicts {self.value} and {self.goal!r}")

    @property
    def verdict(self) -> str:
        """``"reached"``, ``"reached, uncertain"`` where the interval reaches beyond the goal, or ``"not reached"``."""
        if not self.holds:
            return "not reached"
        return "reached" if self.certain else "reached, uncertain"

    @property
    def certain(self) -> bool:
        """Whether all of the interval lies where the goal says."""
        goal = Goal.parse(self.goal)
        return goal.holds(self.low) and goal.holds(self.high)

    @property
    def interval(self) -> str:
        """The 95% interval for a reader; a dash where the quantity was counted rather than estimated."""
        return "–" if self.low == self.high else f"{self.low:.4g} … {self.high:.4g}"

    def __str__(self) -> str:
        return f"{self.name}: {self.value:.4g} ({self.interval}, n={self.n}), goal {self.goal} {self.verdict}"

    def _repr_markdown_(self) -> str:
        return markdown_table([self])


class Findings:
    """The claims of one lesson, in the order they are made.

    Args:
        lesson: the notebook's number and name, ``"01-speech-as-tokens"``.
        figures_folder: where to record. Claims then go to ``<figures_folder>/<lesson>/findings.json``, which
            starts empty. ``None``, as when a lesson is opened by hand: claims are asserted and shown, and
            nothing is written.

    Attributes:
        folder: ``<figures_folder>/<lesson>``, also the place for the lesson's pictures, or ``None``.

    Raises:
        ValueError: ``lesson`` is not named like a notebook.
    """

    def __init__(self, lesson: str, figures_folder: str | Path | None = None) -> None:
        if not LESSON.fullmatch(lesson):
            raise ValueError(f'a lesson is named like its notebook, "01-speech-as-tokens", not {lesson!r}')
        self.lesson = lesson
        self.folder = Path(figures_folder) / lesson if figures_folder is not None else None
        self._claims: dict[str, Finding] = {}
        self._write()

    def claim(
        self,
        name: str,
        value: float,
        low: float | None = None,
        high: float | None = None,
        n: int = 1,
        *,
        goal: str,
        source: str,
        reached: float | None = None,
        tolerance: float = 0.0,
    ) -> Finding:
        """State a claim, record it, and assert it.

        The record is written before the assertion, so that a claim that fails is on file with its number.
        A claim made again under its old name (a cell run twice) replaces the old one.

        Args:
            name: the claim in words, one line.
            value: the number measured.
            low: lower end of its 95% interval; leave it out with ``high`` for a quantity that is counted.
            high: upper end of that interval.
            n: the number of independent cases behind ``value``; 1 for a quantity that is counted.
            goal: where ``value`` should lie, as :class:`Goal` reads it.
            source: the paper's figure, table or section.
            reached: the number reached when the goal was missed, which is asserted in its place.
            tolerance: how much further from the goal than ``reached`` the value may fall.

        Raises:
            AssertionError: the goal is missed, by the whole interval if there is one, and no ``reached`` is
                stated; or the value is worse than that by more than ``tolerance``, and the whole interval worse.
            ValueError: a NaN, ``n`` below one, an interval that does not hold its value, a goal that cannot
                be read, a ``reached`` that meets the goal, a negative ``tolerance``, an empty name or source.
        """
        target = Goal.parse(goal)
        if (low is None) != (high is None):
            raise ValueError(f"{name!r}: give both ends of the interval, or neither")
        if tolerance < 0 or not math.isfinite(tolerance):
            raise ValueError(f"{name!r}: tolerance must not be negative, got {tolerance}")
        if reached is not None and not (math.isfinite(reached) and not target.holds(reached)):
            raise ValueError(f"{name!r}: reached={reached} is for a number that misses the goal {goal!r}")
        value = float(value)
        finding = Finding(
            lesson=self.lesson,
            name=name,
            value=value,
            low=value if low is None else float(low),
            high=value if high is None else float(high),
            n=operator.index(n),
            goal=target.text,
            holds=target.holds(value),
            source=source,
        )
        self._claims[name] = finding
        self._write()
        if finding.holds:
            return finding
        # Raised rather than asserted: `python -O` drops assert statements, and a lesson's findings with them.
        best = target.nearest(finding.low, finding.high)
        if reached is None and not target.holds(best):
            raise AssertionError(f"{self.lesson}: {finding}")
        if reached is None or target.no_worse(value, reached, tolerance) or target.no_worse(best, reached, 0):
            return finding
        raise AssertionError(
            f"{self.lesson}: {finding}, and worse than the {reached:.4g} once reached (tolerance {tolerance:.4g})"
        )

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._claims.values())

    def __len__(self) -> int:
        return len(self._claims)

    def _write(self) -> None:
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_findings(self._claims.values(), self.folder / FINDINGS_FILE)

    def _repr_markdown_(self) -> str:
        return markdown_table(self)


def write_findings(findings: Iterable[Finding], path: Path) -> None:
    """Write ``findings`` to ``path`` as a JSON list, whole or not at all."""
    records = [asdict(finding) | {RESULT: finding.verdict} for finding in findings]
    part = path.with_name(path.name + ".part")
    part.write_text(
        json.dumps(records, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    part.replace(path)


def read_findings(path: Path) -> list[Finding]:
    """The findings in a JSON file.

    Raises:
        ValueError: the file is not a list of complete, consistent findings.
    """
    try:
        return [_read(record) for record in json.loads(path.read_text(encoding="utf-8"))]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a list of findings: {error}") from error


def _read(record: Mapping[str, Any]) -> Finding:
    fields = dict(record)
    result = fields.pop(RESULT, None)  # which older files lack
    finding = Finding(**fields)
    if result not in (None, finding.verdict):
        raise ValueError(f"{finding.name!r}: {RESULT} {result!r} contradicts {finding.verdict!r}")
    return finding


def collect(figures_folder: Path) -> list[Finding]:
    """All lessons' findings, lesson by lesson, written to ``<figures_folder>/findings.json``."""
    findings = [
        finding
        for path in sorted(figures_folder.glob(f"*/{FINDINGS_FILE}"))
        for finding in read_findings(path)
    ]
    write_findings(findings, figures_folder / FINDINGS_FILE)
    return findings


def markdown_table(findings: Iterable[Finding]) -> str:
    """A table for people, a row for each claim."""
    titles = ["claim", "value", "95% interval", "n", "goal", "result", "source"]
    rows = [
        [
            finding.name,
            f"{finding.value:.4g}",
            finding.interval,
            str(finding.n),
            finding.goal,
            finding.verdict if finding.holds else f"**{finding.verdict}**",
            finding.source,
        ]
        for finding in findings
    ]
    return markdown_rows([titles, ["---"] * len(titles), *rows])


def markdown_rows(lines: Iterable[Iterable[str]]) -> str:
    """Lines of cells as a Markdown table; the second line holds the dashes under the titles."""
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
