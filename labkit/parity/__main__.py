"""``python -m labkit.parity DIR... [--attention eager|sdpa]``

Replays golden cases, prints a row per check, and exits with 1 if any misses, with 2 if a case cannot be read.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tqdm.auto import tqdm

from labkit.parity.audio import AudioCase, kind_of, read_audio_case
from labkit.parity.cases import Case, CaseError, find_cases, read_case
from labkit.parity.checks import Check
from labkit.parity.decoder import check_flow, check_streams, check_vocoder
from labkit.parity.replay import check_mode
from labkit.parity.sensevoice import check_sensevoice
from labkit.parity.tokenizer import check_resampling, check_tokenizer
from labkit.parity.training import check_training

ATTENTION = ("eager", "sdpa")
AUDIO = {
    "tokenizer": check_tokenizer,
    "flow": check_flow,
    "vocoder": check_vocoder,
    "streams": check_streams,
    "sensevoice": check_sensevoice,
    "resample": check_resampling,
}


def read(folder: Path) -> Case | AudioCase:
    """The case in a folder, of whatever sort.

    Raises:
        CaseError: it cannot be read.
    """
    kind = kind_of(folder)
    return read_case(folder) if kind is None else read_audio_case(folder, kind)


def check_case(case: Case | AudioCase, attention: str) -> Iterator[Check]:
    """All checks of one case; audio cases do not ask for a kernel."""
    if isinstance(case, AudioCase):
        yield from AUDIO[case.kind](case)
        return
    model = case.load(attention)
    for name in case.modes:
        yield from check_mode(model, case, name)
    for name in case.training:
        yield from check_training(model, case, name)


def run(paths: Sequence[str | Path], attention: Sequence[str] = ATTENTION) -> int:
    """Check all cases, print the table, and return the exit code."""
    try:
        cases = [read(folder) for folder in find_cases(paths)]
    except CaseError as error:
        print(f"parity: {error}", file=sys.stderr)
        return 2
    checked, missed, unread = 0, [], 0
    for case in tqdm(cases, desc="cases", disable=None):
        for kernel in ["audio"] if isinstance(case, AudioCase) else attention:
            try:
                for check in check_case(case, kernel):
                    row = f"{case.name:<18} {kernel:<6} {check.subject:<44} {check.what:<34} {check.found}"
                    print(f"{'ok  ' if check.ok else 'MISS'} {row}")
                    checked += 1
                    if not check.ok:
                        missed.append(row)
            except CaseError as error:
                print(f"parity: {error}", file=sys.stderr)
                unread += 1
            except (ValueError, TypeError, KeyError, IndexError, RuntimeError) as error:
                print(
                    f"parity: {case.folder} cannot be replayed: {type(error).__name__}: {error}",
                    file=sys.stderr,
                )
                unread += 1
    print(f"{checked - len(missed)} of {checked} checks passed")
    for row in missed:
        print(f"MISS {row}")
    return 2 if unread else int(bool(missed))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m labkit.parity", description=__doc__.splitlines()[2])
    parser.add_argument("cases", nargs="+", type=Path, metavar="DIR", help="a case, or a folder of cases")
    parser.add_argument("--attention", choices=ATTENTION, help="one kernel only; both unless given")
    chosen = parser.parse_args(arguments)
    # The models are tiny, and one thread adds in the order in which the recordings were made.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return run(chosen.cases, [chosen.attention] if chosen.attention else ATTENTION)
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    sys.exit(main())
