"""Patching puts one run's activations into another: nothing, everything, and places in between."""

from dataclasses import replace

import pytest
import torch
from contrasts import contrasts, random_system
from speech import listener

from labkit.interleave import VANILLA, parse
from labkit.model.masks import Pass
from labkit.study import patching as module
from labkit.study.contrast import log_odds, read, weigh
from labkit.study.patching import (
    Hearing,
    Patch,
    PatchNeverFired,
    PatchRow,
    best_hook,
    carrying,
    donors,
    flipped,
    flips,
    layer_hooks,
    patch_map,
    patching,
    turned,
)
from labkit.study.positions import CLASSES, CONTROL, deciding, homograph, positions

TWO = parse("1 2", content=[1, 10, 4, 10])
PARTS = ("resid_pre", "attn_out", "mlp_out", "z", "resid_post")
EVERYTHING = {"everything": lambda contrast: range(len(contrast.ids))}


def everywhere(found):
    return [list(range(len(each.ids))) for each in found]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("chain", [False, True], ids=["backbone", "chain"])
@torch.no_grad()
def test_patching_a_run_with_itself_changes_nothing(part, chain):
    model, found = random_system().model, contrasts(TWO).kept
    names = layer_hooks(model, part, chain=chain)
    before = read(model, found, stages=2)
    with model.traced(names) as trace:
        read(model, found, stages=2)
    with patching(model, {name: trace[name] for name in names}, everywhere(found)):
        after = read(model, found, stages=2)
    for one, two in zip(before.stages, after.stages, strict=True):
        torch.testing.assert_close(one, two, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("layer", [0, 1, 2])
@torch.no_grad()
def test_patching_everything_at_a_layer_is_the_other_run(layer):
    model, found = random_system().model, contrasts().kept
    name = f"backbone.{layer}.resid_pre"
    with patching(model, donors(model, found, [name]), everywhere(found)):
        patched = read(model, found).stages[0]
    other = read(model, found, swapped=True).stages[0]
    for row, each in enumerate(found):
        one, two = (model.head(hidden[row, : len(each.ids)]) for hidden in (patched, other))
        assert torch.equal(one, two)


def test_classes_together_are_everything():
    found = contrasts().kept
    rows = patch_map(random_system(), found, ["backbone.1.resid_pre"], EVERYTHING, progress=False)
    assert [row.patched for row in rows] == pytest.approx([row.swapped for row in rows], abs=1e-4)
    assert [row.flip for row in rows] == pytest.approx([1.0] * len(rows), abs=1e-2)


def test_the_deciding_words_embedding_is_all_that_differs():
    rows = patch_map(random_system(), contrasts().kept, ["backbone.0.resid_pre"], progress=False)
    for row in rows:
        aim = row.swapped if row.group == "deciding word" else row.plain
        assert row.patched == pytest.approx(aim, abs=1e-4), row.group


def test_a_map_of_many_is_the_map_of_each():
    found, hooks = contrasts(TWO).kept, ["backbone.1.z", "module.0.resid_pre"]
    chosen = {"homograph": homograph, "deciding": deciding}
    together = patch_map(
        replace(random_system(), batch=3), found, hooks, chosen, copy="prompt", progress=False
    )
    singly = [
        row
        for each in found
        for row in patch_map(random_system(), [each], hooks, chosen, copy="prompt", progress=False)
    ]
    key = lambda row: (row.utterance, row.hook, row.group)  # noqa: E731
    for one, two in zip(sorted(together, key=key), sorted(singly, key=key), strict=True):
        assert one.patched == pytest.approx(two.patched, abs=1e-4)
        assert one.plain == pytest.approx(two.plain, abs=1e-4)


def test_a_module_after_the_tokens_maker_gives_no_row():
    found = contrasts(TWO).kept
    rows = patch_map(
        random_system(), found, layer_hooks(random_system().model, chain=True), EVERYTHING, progress=False
    )
    for stage, hook in enumerate(layer_hooks(random_system().model, chain=True), start=1):
        expected = {each.utterance.index for each in found if each.stage >= stage}
        assert {row.utterance for row in rows if row.hook == hook} == expected


@torch.no_grad()
def test_one_patch_against_a_loop_over_positions():
    model, found = random_system().model, contrasts().kept[:3]
    name = "backbone.1.resid_pre"
    rows = patch_map(random_system(), found, [name], {"homograph": homograph}, progress=False)
    for each, row in zip(found, rows, strict=True):
        with model.traced([name]) as other:
            model(torch.tensor([each.swapped_ids]), modules=0)

        def put(activation, p, each=each, other=other):
            changed = activation.clone()
            for place in positions(each, homograph):
                changed[0, place] = other[name][0, place]
            return changed

        with model.patched({name: put}):
            value = weigh(model, [each], model(torch.tensor([each.ids]), modules=0))
        assert float(value) == pytest.approx(row.patched, abs=1e-4)


def test_several_hooks_are_one_place():
    model, found = random_system().model, contrasts(TWO).kept
    hooks = [*layer_hooks(model), *layer_hooks(model, chain=True)]
    rows = patch_map(random_system(), found, [hooks], EVERYTHING, progress=False)
    assert {row.hook for row in rows} == {"backbone.0.resid_pre to module.1.resid_pre"}
    assert [row.patched for row in rows] == pytest.approx([row.swapped for row in rows], abs=1e-3)


@pytest.mark.parametrize("mode", [VANILLA, TWO], ids=["vanilla", "chain of two"])
def test_speaking_under_a_patch_of_everything_says_what_the_swapped_text_says_until_they_part(mode):
    system, found = random_system(), contrasts(mode).kept
    hooks = [*layer_hooks(system.model), *layer_hooks(system.model, chain=True)]
    hearing = Hearing(system, listener(), mode)
    for each, heard in zip(
        found, hearing.patched(found, hooks, EVERYTHING["everything"], progress=False), strict=True
    ):
        part = each.said_swapped.index(system.vocabulary.audio_code(each.tokens[1]))
        own = heard.codes[len(heard.codes) - len(each.span) :]
        assert own[: part + 1] == each.said_swapped[: part + 1]


def test_equal_sounds_are_judged_once(monkeypatch):
    calls = []
    real = module.listen
    monkeypatch.setattr(module, "listen", lambda *each: calls.append(each) or real(*each))
    hearing = Hearing(random_system(), listener(), VANILLA)
    found = contrasts().kept[:2]
    first, second = hearing.plain(found), hearing.plain(found)
    assert first == second
    assert len(calls) == 2
    assert 0 <= flipped(first).value <= 1
    assert all(each in found for each in hearing.flippable(found))


def row(homograph="lead", hook="a", group="homograph", plain=2.0, swapped=-2.0, patched=0.0):
    return PatchRow(0, homograph, "en", hook, group, plain, swapped, patched)


def test_measures_by_hand():
    rows = [
        row(patched=-2),
        row("bass", plain=6, swapped=-6, patched=6),
        row(hook="b"),
        row("bass", hook="b", patched=-1),
    ]
    assert flips(rows)["a", "homograph"].value == pytest.approx(4 / 16)
    assert turned(rows)["a", "homograph"].value == 0.5
    assert rows[0].flip == 1
    assert best_hook(rows, "homograph") == "b"  # as many turned, more of the way
    assert flips(rows[:1])["a", "homograph"].n == 1
    with pytest.raises(ValueError, match="no row patches"):
        best_hook(rows, "tags")


def geometry(length, start=0, stage=0):
    return Pass(stage=stage, start=start, positions=torch.arange(length)[None])


def test_a_patch_knows_positions_in_cached_and_padded_passes():
    donor = torch.arange(4.0)[None, :, None].expand(1, 4, 2)
    patch = Patch(donor, torch.tensor([[False, True, False, True]]))
    own = torch.full((1, 2, 2), -1.0)
    assert patch(own, geometry(4, start=2))[0, :, 0].tolist() == [-1, 3]
    padded = Pass(stage=0, start=0, positions=torch.tensor([[-1, 0, 1]]))
    assert patch(torch.full((1, 3, 2), -1.0), padded)[0, :, 0].tolist() == [-1, -1, 1]
    assert patch(own, geometry(7, start=5)) is None
    assert patch.fired == 2


def test_errors():
    model, found = random_system().model, contrasts().kept[:2]
    donated = donors(model, found, ["backbone.1.resid_pre"])
    with (
        pytest.raises(PatchNeverFired, match=r"backbone\.1\.resid_pre"),
        patching(model, donated, [[3], [4]]),
    ):
        pass
    with (
        pytest.raises(ValueError, match="not among"),
        patching(model, donated, [[], [donated["backbone.1.resid_pre"].shape[1]]]),
    ):
        pass
    with pytest.raises(ValueError, match="for 2 sequences"), patching(model, donated, [[3], [4]]):
        model(torch.tensor([found[0].ids]))
    shorter = min(found, key=lambda each: len(each.ids))
    padding = [[len(shorter.ids)] if each is shorter else [] for each in found]
    with pytest.raises(ValueError, match="did not reach"), patching(model, donated, padding):
        pass
    with pytest.raises(ValueError, match="the mask"):
        Patch(torch.zeros(1, 3, 2), torch.zeros(1, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="no hook point"):
        layer_hooks(model, "residue")
    with pytest.raises(ValueError, match="no MCTP modules"):
        layer_hooks(
            replace(
                random_system(), model=type(model)(model.backbone, type(model.chain)(model.config, 0))
            ).model,
            chain=True,
        )
    with pytest.raises(ValueError, match="no hook point"):
        patch_map(random_system(), found, ["backbone.9.z"], progress=False)
    assert (
        Hearing(random_system(), listener(), VANILLA).patched(
            found, ["backbone.0.z"], lambda _: [], progress=False
        )
        == []
    )
    assert callable(carrying(random_system(), found, ["backbone.0.z"], CONTROL["a random other word"]))
    assert set(CLASSES) & {"homograph"}
    assert log_odds(random_system(), found).shape == (2,)
