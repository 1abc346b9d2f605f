"""Chains trained on with and without the backbone's states: arms become recipes, run end to end and not twice."""

import json
from dataclasses import replace

import pytest
from contrasts import probes, random_system
from tiny import TEXTS

from labkit.data.corpus import CorpusSpec
from labkit.data.mixture import ratios_of
from labkit.study import chain_reading
from labkit.study.chain_reading import (
    ARMS,
    DRAWN,
    Arm,
    BegunRow,
    ChainReadings,
    probe_chain,
    read_results,
    told_by_modules,
    told_more_by_modules,
)
from labkit.study.reading_probe import ProbeRow
from labkit.training.pipeline import Pipeline
from labkit.training.recipes import TOY
from labkit.training.stages import Part

SHORT = {"steps": 2, "rows": 2, "batch_rows": 2, "precision": "no"}
TINY = replace(
    TOY,
    corpus=CorpusSpec(sentences=60, validation=0, test=0, probes=40, languages=("cmn",), prosody="even"),
    texts=TEXTS,
    mixture=tuple(each for each in TOY.mixture if each.name.endswith("cmn")),
    stages={n: replace(each, **SHORT) for n, each in TOY.stages.items()},
    deepening=None,
    listening=None,
    annealing=None,
)


def test_an_arm_is_the_toy_recipe_with_another_end_of_the_chains_training():
    longer = Arm(700, 0.25).recipe().distillation
    assert (longer.settings.steps, longer.state_weight) == (700, 0.25)
    assert longer.settings.learning_rates == {Part.CHAIN: TOY.stages[4].learning_rates[Part.CHAIN]}
    assert longer.ratios.keys() == {
        f"{name}-{language}" for name in DRAWN["speech"] for language in ("en", "cmn")
    }
    listening = Arm(700, 0.25, "all").recipe().distillation
    stage_4 = ratios_of(TOY.mixture, 4)
    for name in ("asr-en", "speech-qa-cmn"):
        assert listening.ratios[name] == stage_4[name] > longer.ratios[name]
    assert Arm().recipe() == TOY


def test_arms_run_end_to_end_and_only_once(tmp_path, monkeypatch, capsys):
    Pipeline(TINY, tmp_path / "models").run(range(4))
    monkeypatch.setattr(chain_reading, "TOY", TINY)
    monkeypatch.setattr(
        chain_reading,
        "run_arm",
        lambda arm, *others, original=chain_reading.run_arm: original(arm, *others, base=TINY),
    )
    out = tmp_path / "results.json"
    command = ["--arms", "1:0", "1:1", "2:1:all", "--probes", "40", "--languages", "cmn"]
    command += ["--folder", str(tmp_path / "models"), "--out", str(out)]
    chain_reading.main(command)
    assert "4 arms, 4 to examine: 4 optimizer steps" in capsys.readouterr().out
    results = read_results(out)
    assert results.arms == [Arm(), Arm(1, 0.0), Arm(1, 1.0), Arm(2, 1.0, "all")]
    for arm in results.arms:
        assert {len(row.right) for row in results.probes[arm, "cmn"]} == {11}
        assert results.read_as_meant(arm, "cmn").n == 40
    # The backbone is held, so that what a probe finds in it is the same in all arms; the chains learn.
    first, *others = (results.probes[arm, "cmn"] for arm in results.arms)
    assert all([row.right[0] for row in rows] == [row.right[0] for row in first] for rows in others)
    before = out.read_text()
    monkeypatch.setattr(chain_reading, "run_arm", lambda *_: pytest.fail("it is in the file"))
    chain_reading.main(command)
    assert out.read_text() == before
    assert json.loads(before)[1]["arm"] == {"steps": 1, "state_weight": 0.0, "drawn": "speech"}


@pytest.mark.parametrize("typed", ["300", "300:", "many:1", "300:-1", "-300:1", "300:1:", "300:1:text"])
def test_an_arm_that_cannot_be_says_what_one_is(typed, capsys):
    with pytest.raises(SystemExit):
        chain_reading.main([f"--arms={typed}"])
    assert (
        "an arm is STEPS:WEIGHT or STEPS:WEIGHT:DRAWN, such as 300:1 or 300:1:all, not"
        in capsys.readouterr().err
    )


def test_readings_are_counted_by_arm_and_by_who_begins_the_word():
    own, other = Arm(), Arm(300, 1.0)
    rows = [
        BegunRow(arm, "en", utterance, ("bass", "lead")[utterance % 2], right, begun_by)
        for arm in (own, other)
        for utterance, (right, begun_by) in enumerate(
            [(True, None), (arm is other, 0), (False, 5), (True, 5)]
        )
    ]
    results = ChainReadings(tuple(rows), {})
    assert results.arms == [own, other]
    assert results.read_as_meant(own, "en").value == 0.5
    assert results.read_as_meant(other, "en").value == 0.75
    assert results.read_as_meant(own, "en", {None}).value == 1
    assert results.read_as_meant(own, "en", {0, 5}).value == pytest.approx(1 / 3)
    assert results.gain(other, own, "en").value == 0.25
    assert results.gain(other, own, "en", {5}).value == 0
    assert results.gain(other, own, "en", {0, 5}).value == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="begun by one of"):
        results.read_as_meant(own, "en", {7})
    with pytest.raises(ValueError, match="not asked the same homographs"):
        ChainReadings((*rows[:4], *rows[5:]), {}).gain(other, own, "en")


def test_what_modules_tell_is_their_mean_without_the_backbone():
    rows = [ProbeRow("en", "bass", (True, True, False)), ProbeRow("en", "lead", (False, True, True))]
    others = [ProbeRow("en", "bass", (True, False, False)), ProbeRow("en", "lead", (True, True, False))]
    assert told_by_modules(rows).value == 0.75
    assert told_more_by_modules(rows, others).value == 0.5
    with pytest.raises(ValueError, match="not asked about the same sentences"):
        told_more_by_modules(rows, others[::-1])


def test_a_probe_of_the_chain_needs_pairs_for_both_halves():
    with pytest.raises(ValueError, match="others to be asked about, got 1"):
        probe_chain(random_system(), probes()[:1])


def test_what_was_not_made_yet_says_by_which_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m labkit\.study\.chain_reading writes it"):
        read_results(tmp_path / "none.json")


def test_the_numbers_that_ship_are_of_all_arms_and_of_the_same_homographs():
    results = read_results()
    assert {*results.arms} == {Arm(), *ARMS}
    assert len(results.arms) == 1 + len(ARMS)
    for arm in results.arms:
        for language in TOY.corpus.languages:
            assert results.read_as_meant(arm, language).n == 300
            assert results.gain(arm, Arm(), language).n == 300
            assert len(results.probes[arm, language]) > 250
