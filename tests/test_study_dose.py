"""The dose-response experiment: arms become recipes, run end to end, are not run twice, and are pooled."""

import json
from dataclasses import replace

import pytest
from tiny import TEXTS

from labkit.audio.toy import ToyCodec
from labkit.data.corpus import CorpusSpec
from labkit.data.mixture import TEXT, ratios_of
from labkit.study import dose
from labkit.study.dose import Arm, DoseResults, DoseRow, read_results
from labkit.training.recipes import TOY

TINY = replace(
    TOY,
    corpus=CorpusSpec(sentences=60, validation=0, test=0, probes=8, languages=("cmn",), prosody="even"),
    texts=TEXTS,
    mixture=tuple(each for each in TOY.mixture if each.name.endswith("cmn")),
    stages={n: replace(each, rows=2, batch_rows=2, precision="no") for n, each in TOY.stages.items()},
)


def test_an_arm_is_the_toy_recipe_with_another_dose():
    recipe = Arm(300, seed=2, layers=3, steps=50).recipe()
    assert (recipe.stages[0].steps, recipe.stages[1].steps, recipe.seed, recipe.layers) == (300, 50, 2, 3)
    assert recipe.deepening is None, "as deep as it says, and trained for as long"
    assert recipe.mixture == TOY.mixture
    texts = {each.name for each in TOY.mixture if each.task == TEXT}
    assert texts & set(ratios_of(recipe.mixture, 1))
    unmixed = Arm(300, mixed=False).recipe()
    assert not texts & set(ratios_of(unmixed.mixture, 1))
    assert ratios_of(unmixed.mixture, 0) == ratios_of(TOY.mixture, 0), "the pre-training keeps its text"


def test_arms_run_end_to_end_and_only_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(dose, "TOY", TINY)
    monkeypatch.setattr(Arm, "recipe", lambda arm, base=None, original=Arm.recipe: original(arm, TINY))
    out = tmp_path / "results.json"
    command = ["--doses", "0", "2", "--steps", "2", "--probes", "8", "--languages", "cmn", "--threads", "1"]
    command += ["--folder", str(tmp_path / "models"), "--out", str(out)]
    dose.main(command)
    assert "2 arms, 2 to train: 6 optimizer steps" in capsys.readouterr().out
    results = read_results(out)
    assert results.arms == [Arm(0, steps=2), Arm(2, steps=2)]
    layers = results.probes[Arm(0, steps=2), "cmn"]
    assert len(layers) == 5
    assert results.best_probe("cmn", [Arm(0, steps=2)]) == max(layers, key=lambda each: each.value)
    assert all(0 <= each.low <= each.value <= each.high <= 1 for each in layers)
    full = results.read_as_meant("cmn", "all visible", results.arms)
    assert full.n == 2 * 8
    assert results.babble("cmn", "all text masked", results.arms[:1]).n == 8
    gain = results.gain("cmn", "all visible", results.arms[1:], results.arms[:1])
    shares = [results.read_as_meant("cmn", "all visible", [arm]).value for arm in results.arms]
    assert gain.value == pytest.approx(shares[1] - shares[0])
    distances = {row.distance for row in results.rows}
    parts = [results.read_as_meant("cmn", "all visible", results.arms, each).n for each in distances]
    assert sum(parts) == full.n
    size = ToyCodec.load().size
    examples = {row.utterance for row in results.codes}
    assert len(examples) == 8
    assert len(results.codes) == len(results.rows)
    assert all(0 <= code < size for said in results.codes.values() for code in said)
    before = out.read_text()
    monkeypatch.setattr(dose, "run_arm", lambda *_: pytest.fail("it is in the file"))
    dose.main(command)
    assert out.read_text() == before
    assert json.loads(before)[1]["arm"]["dose"] == 2


def rows(arm, right):
    return [
        DoseRow(arm, "en", utterance, word, 2, "all visible", each, babble=False)
        for utterance, (word, each) in enumerate(zip(("bow", "bow", "wind", "wind"), right, strict=True))
    ]


def test_a_gain_is_taken_homograph_by_homograph_and_over_seeds():
    without, once, again = Arm(0), Arm(300), Arm(300, seed=1)
    told = rows(without, [1, 0, 0, 0]) + rows(once, [1, 1, 1, 0]) + rows(again, [1, 0, 1, 0])
    results = DoseResults(tuple(told), {})
    gain = results.gain("en", "all visible", [once, again], [without])
    assert gain.value == pytest.approx((0 + 0.5 + 1 + 0) / 4)
    assert gain.low <= gain.value <= gain.high
    fewer = DoseResults(tuple(told[1:]), {})
    with pytest.raises(ValueError, match="not asked the same homographs"):
        fewer.gain("en", "all visible", [once], [without])
