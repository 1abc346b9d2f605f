"""What all lessons found, for people: a page of claims and pictures, and a short table in the README.

    python -m labkit.gallery figures README.md

collects the claims that lessons recorded in ``figures/findings.json``, writes ``figures/README.md`` with every claim
and every picture, and between the README's markers how many claims of each lesson reached their goals.
"""

import argparse
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from labkit.findings import FINDINGS_FILE, Finding, collect, markdown_rows, markdown_table

PAGE = "README.md"
BEGIN, END = "<!-- findings: written by `make figures` -->", "<!-- end of findings -->"

_TITLE = """# What the lessons found

Every claim with its 95% interval, and every picture beside it, as `make figures` writes them. A goal is reached where
the value meets it; where the interval reaches beyond the goal all the same, the claim is shown as *reached, uncertain*.
A goal that is not reached is shown as such, with the number that was; the tests then guard that number. As data:
[`findings.json`](findings.json), and a JSON file with its numbers beside each picture.
"""


def gallery(findings: Iterable[Finding], folder: Path) -> str:
    """The page of all claims and pictures, lesson by lesson, as Markdown.

    Args:
        findings: in the order of their lessons.
        folder: where the lessons' folders with their pictures are; links are relative to it.
    """
    parts = [_TITLE]
    for lesson, own in groupby(findings, attrgetter("lesson")):
        parts.append(f"## {lesson}\n\n[The lesson](../notebooks/{lesson}.ipynb)\n\n{markdown_table(own)}\n")
        parts += [
            f"![{picture.stem.replace('-', ' ')}]({lesson}/{picture.name})\n"
            for picture in sorted((folder / lesson).glob("*.png"))
        ]
    return "\n".join(parts)


def summary(findings: Iterable[Finding]) -> str:
    """How many claims of each lesson reached their goals, as a Markdown table; lessons link to the page's sections."""
    lines = [["lesson", "claims", "goal reached", "of these uncertain", "not reached"], ["---"] * 5]
    for lesson, own in groupby(findings, attrgetter("lesson")):
        claims = list(own)
        reached = [finding for finding in claims if finding.holds]
        uncertain = sum(not finding.certain for finding in reached)
        link = f"[{lesson}](figures/{PAGE}#{lesson})"
        counts = (len(claims), len(reached), uncertain, len(claims) - len(reached))
        lines.append([link, *map(str, counts)])
    return markdown_rows(lines)


def with_summary(text: str, findings: Sequence[Finding]) -> str:
    """A document with the table between its markers written anew.

    Raises:
        ValueError: the document does not hold both markers, once each and in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(
            f"the document must hold the lines {BEGIN!r} and {END!r}, once each and in this order"
        )
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:begin]}\n{summary(findings)}\n{text[end:]}"


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m labkit.gallery", description="Collect all lessons' findings and pictures."
    )
    parser.add_argument("figures", type=Path, help="the folder in which the lessons recorded theirs")
    parser.add_argument("readme", type=Path, help="the document whose table of findings is written anew")
    options = parser.parse_args(arguments)
    text = options.readme.read_text(encoding="utf-8")
    with_summary(text, [])  # a document without markers is refused before anything is written
    findings = collect(options.figures)
    (options.figures / PAGE).write_text(gallery(findings, options.figures), encoding="utf-8")
    options.readme.write_text(with_summary(text, findings), encoding="utf-8")
    missed = sum(not finding.holds for finding in findings)
    uncertain = sum(finding.holds and not finding.certain for finding in findings)
    print(
        f"{len(findings)} findings, {uncertain} uncertain, {missed} not reached: {options.figures / FINDINGS_FILE}, "
        f"{options.figures / PAGE}, {options.readme}"
    )


if __name__ == "__main__":
    main()
