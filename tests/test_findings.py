"""A claim is asserted, recorded and never hidden."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.findings import Finding, Findings, Goal, collect, read_findings

REPOSITORY = Path(__file__).parent.parent
LESSON = "01-speech-as-tokens"
FIELDS = ["lesson", "name", "value", "low", "high", "n", "goal", "holds", "source", "result"]


def claim(findings: Findings, value: float = 0.99, **changes) -> Finding:
    words = {"low": value - 0.01, "high": value + 0.01, "n": 500, "goal": ">= 0.98", "source": "Fig. 1b"}
    return findings.claim("the right reading is heard", value, **(words | changes))


def test_a_claim_at_its_goal_is_recorded_with_every_field(tmp_path):
    claim(Findings(LESSON, tmp_path), 0.99)
    [record] = json.loads((tmp_path / LESSON / "findings.json").read_text())
    assert list(record) == FIELDS
    assert record["holds"] is True
    assert record["result"] == "reached"
    assert (record["lesson"], record["value"], record["n"], record["goal"]) == (LESSON, 0.99, 500, ">= 0.98")


def test_a_missed_goal_is_on_file_and_then_fails(tmp_path):
    with pytest.raises(AssertionError, match=r"0\.95 .* goal >= 0\.98 not reached"):
        claim(Findings(LESSON, tmp_path), 0.95)
    [finding] = read_findings(tmp_path / LESSON / "findings.json")
    assert (finding.value, finding.holds) == (0.95, False)


def test_the_number_once_reached_is_asserted_in_place_of_the_goal():
    findings = Findings(LESSON)
    finding = claim(findings, 0.95, reached=0.96, tolerance=0.02)
    assert not finding.holds
    assert "**not reached**" in findings._repr_markdown_()
    with pytest.raises(AssertionError, match=r"worse than the 0\.96 once reached"):
        claim(findings, 0.93, reached=0.96, tolerance=0.02)


def test_getting_better_than_was_once_reached_passes():
    assert not claim(Findings(LESSON), 0.97, reached=0.96).holds
    assert claim(Findings(LESSON), 0.985, reached=0.96).holds


def test_the_guard_of_an_upper_goal_looks_the_other_way():
    findings = Findings(LESSON)
    claim(findings, 0.05, goal="<= 0.04", reached=0.05)
    with pytest.raises(AssertionError, match="worse than"):
        claim(findings, 0.07, goal="<= 0.04", reached=0.05)


def test_few_cases_fail_only_where_their_whole_interval_does():
    findings = Findings(LESSON)
    assert not claim(findings, 0.95, low=0.9, high=0.985).holds
    with pytest.raises(AssertionError, match="not reached"):
        claim(findings, 0.95, low=0.9, high=0.975)
    claim(findings, 0.9, low=0.85, high=0.955, reached=0.95)
    with pytest.raises(AssertionError, match="worse than"):
        claim(findings, 0.9, low=0.85, high=0.945, reached=0.95)


@given(st.floats(-10, 10), st.floats(0, 10), st.sampled_from(["> 1", "<= 1", "-1..1", "0.9..1.1"]))
def test_the_nearest_of_an_interval_reaches_a_goal_if_any_of_it_does(low, width, text):
    goal, high = Goal.parse(text), low + width
    nearest = goal.nearest(low, high)
    assert low <= nearest <= high
    inside = [each for each in (low, high, (low + high) / 2, max(low, min(high, 1.0))) if goal.holds(each)]
    assert goal.holds(nearest) or not inside


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": math.nan, "low": 0.0, "high": 1.0}, "not a measurement"),
        ({"high": math.inf}, "not a measurement"),
        ({"n": 0}, "at least one"),
        ({"n": 1}, "one case has no interval"),
        ({"low": 0.995}, "outside its interval"),
        ({"low": None}, "both ends"),
        ({"goal": "about 1"}, "a goal reads"),
        ({"goal": "2..1"}, "a goal reads"),
        ({"source": " "}, "source must be one line"),
        ({"reached": 0.99}, "misses the goal"),
        ({"reached": math.nan}, "misses the goal"),
        ({"reached": 0.9, "tolerance": -0.1}, "must not be negative"),
    ],
)
def test_what_is_not_a_measurement_is_refused_and_not_recorded(tmp_path, changes, message):
    findings = Findings(LESSON, tmp_path)
    with pytest.raises(ValueError, match=message):
        claim(findings, **changes)
    assert len(findings) == 0
    assert read_findings(tmp_path / LESSON / "findings.json") == []


@pytest.mark.parametrize(
    ("value", "low", "high", "goal", "verdict"),
    [
        (0.99, 0.985, 1.0, ">= 0.98", "reached"),
        (0.99, 0.97, 1.0, ">= 0.98", "reached, uncertain"),
        (0.03, 0.01, 0.05, "<= 0.04", "reached, uncertain"),
        (1.0, 0.8, 1.05, "0.9..1.1", "reached, uncertain"),
        (0.2, 0.0, 0.4, "> 0", "reached, uncertain"),
        (0.95, 0.9, 0.985, ">= 0.98", "not reached"),
        (0.99, None, None, ">= 0.98", "reached"),
    ],
)
def test_a_goal_beyond_which_the_interval_reaches_is_reached_but_uncertain(
    tmp_path, value, low, high, goal, verdict
):
    finding = claim(Findings(LESSON, tmp_path), value, low=low, high=high, goal=goal)
    assert finding.verdict == verdict
    [record] = json.loads((tmp_path / LESSON / "findings.json").read_text())
    assert record["result"] == verdict
    assert read_findings(tmp_path / LESSON / "findings.json") == [finding]


def test_a_record_from_before_there_was_a_result_is_read(tmp_path):
    finding = claim(Findings(LESSON, tmp_path))
    path = tmp_path / LESSON / "findings.json"
    [record] = json.loads(path.read_text())
    del record["result"]
    path.write_text(json.dumps([record]))
    assert read_findings(path) == [finding]
    path.write_text(json.dumps([record | {"result": "not reached"}]))
    with pytest.raises(ValueError, match="'not reached' contradicts 'reached"):
        read_findings(path)


def test_a_fractional_count_is_refused():
    with pytest.raises(TypeError):
        claim(Findings(LESSON), n=12.5)


def test_a_lesson_is_named_like_its_notebook():
    with pytest.raises(ValueError, match="named like its notebook"):
        Findings("Speech as tokens")


def test_a_counted_quantity_needs_no_interval():
    finding = Findings(LESSON).claim("delay", 5, goal="4..6", source="Table 1")
    assert (finding.low, finding.high, finding.n, finding.interval) == (5, 5, 1, "–")


def test_a_lesson_starts_its_record_afresh_and_a_cell_run_twice_records_once(tmp_path):
    Findings(LESSON, tmp_path).claim("an old claim", 1, goal=">= 1", source="Fig. 1")
    findings = Findings(LESSON, tmp_path)
    claim(findings, 0.985)
    claim(findings, 0.99)
    assert [finding.value for finding in read_findings(tmp_path / LESSON / "findings.json")] == [0.99]


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    findings = Findings(LESSON)
    claim(findings)
    assert findings.folder is None
    assert list(tmp_path.iterdir()) == []


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.sampled_from(["<=", ">=", "<", ">"]))
def test_goals_mean_what_python_means(value, bound, relation):
    holds = {"<=": value <= bound, ">=": value >= bound, "<": value < bound, ">": value > bound}[relation]
    assert Goal.parse(f"{relation} {bound!r}").holds(value) is holds


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(0, 5))
def test_a_value_no_further_from_its_goal_is_no_worse(value, reached, tolerance):
    goal = Goal.parse(">= 0.5")
    assert goal.no_worse(reached, reached, 0)
    if value >= reached:
        assert goal.no_worse(value, reached, tolerance)


def test_lessons_are_collected_in_order(tmp_path):
    for lesson in ("02-interleaving", LESSON):
        claim(Findings(lesson, tmp_path))
    assert [finding.lesson for finding in collect(tmp_path)] == [LESSON, "02-interleaving"]
    assert read_findings(tmp_path / "findings.json") == collect(tmp_path)


def test_a_record_edited_by_hand_is_refused(tmp_path):
    claim(Findings(LESSON, tmp_path), 0.95, reached=0.95)
    path = tmp_path / LESSON / "findings.json"
    path.write_text(path.read_text().replace("false", "true"))
    with pytest.raises(ValueError, match="contradicts"):
        collect(tmp_path)


def test_the_findings_on_file_are_those_of_the_lessons():
    path = REPOSITORY / "figures" / "findings.json"
    lessons = {
        file.parent.name: read_findings(file) for file in (REPOSITORY / "figures").glob("*/findings.json")
    }
    collected = read_findings(path) if path.exists() else []
    assert collected == [finding for lesson in sorted(lessons) for finding in lessons[lesson]]
