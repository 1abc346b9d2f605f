"""The small training loop: it stops and resumes exactly, and stops early when something is wrong."""

import pytest
import torch

from labkit.training.fit import FitSettings, fit


def setup(seed: int = 0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = torch.nn.Linear(3, 1)

    def losses(step, generator):
        x = torch.randn(8, 3, generator=generator)
        return {"square": (module(x)[:, 0] - x.sum(1)).pow(2).mean()}

    return module, losses


SETTINGS = FitSettings(steps=30, learning_rate=0.05, warmup=5, checkpoint_every=10)


def test_training_learns():
    module, losses = setup()
    history = fit(module, losses, SETTINGS)
    assert history[-1]["square"] < 0.2 * history[0]["square"]


def test_a_killed_run_resumes_to_the_same_weights(tmp_path):
    whole, losses = setup()
    fit(whole, losses, SETTINGS)

    stopped, losses = setup()

    def killed(step, generator):
        if step == 17:
            raise KeyboardInterrupt
        return losses(step, generator)

    with pytest.raises(KeyboardInterrupt):
        fit(stopped, killed, SETTINGS, folder=tmp_path)
    resumed, losses = setup(seed=1)
    history = fit(resumed, losses, SETTINGS, folder=tmp_path)
    assert torch.equal(resumed.weight, whole.weight)
    assert [row["step"] for row in history] == [0, 10, 20, 29]
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 4


def test_a_finished_run_is_not_trained_again(tmp_path):
    module, losses = setup()
    fit(module, losses, SETTINGS, folder=tmp_path)
    weight = module.weight.clone()
    fit(module, lambda step, generator: pytest.fail("trained again"), SETTINGS, folder=tmp_path)
    assert torch.equal(module.weight, weight)


def test_a_loss_that_is_no_number_stops_the_run_before_it_spoils_the_weights():
    module, _ = setup()
    before = module.weight.clone()
    with pytest.raises(FloatingPointError, match="'square' is nan at step 0"):
        fit(module, lambda step, generator: {"square": module.weight.sum() * float("nan")}, SETTINGS)
    assert torch.equal(module.weight, before)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    module, losses = setup()
    fit(module, losses, SETTINGS, folder=tmp_path)
    with pytest.raises(ValueError, match="another model"):
        fit(torch.nn.Bilinear(2, 2, 2), losses, SETTINGS, folder=tmp_path)
