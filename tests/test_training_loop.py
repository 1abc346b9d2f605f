"""The training loop: what moves in each stage, exact resume, batches and processes that change nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from tiny import VOCABULARY, random_ids, tiny_model

from labkit.data.packing import EncodedSample, PackedRow, pack
from labkit.training import processes as waiting
from labkit.training.history import read_history
from labkit.training.identity import FILE
from labkit.training.loop import LoopSettings, train
from labkit.training.objective import SpeechObjective
from labkit.training.optimizers import OPTIMIZERS
from labkit.training.processes import processes
from labkit.training.sharding import is_sharded
from labkit.training.stages import STAGES, Part, StageError, stage
from labkit.training.stream import RowStream

TIMES = ("seconds", "targets per second")
SETTINGS = LoopSettings(
    steps=6,
    rows=4,
    batch_rows=4,
    learning_rates={Part.BACKBONE: 1e-3, Part.CHAIN: 1e-3},
    precision="no",
    log_every=1,
    checkpoint_every=2,
)

SHARED = replace(SETTINGS, optimizer="muon")
"""What two processes train with: both optimizers."""


def rows(epoch: int) -> list[PackedRow]:
    samples = []
    for index in range(30):
        ids = np.array(random_ids(5 + index % 17, 1000 * epoch + index, VOCABULARY.size), np.int32)
        labels = np.where(np.arange(len(ids)) < 2, -100, ids).astype(np.int32)
        samples.append(EncodedSample(ids, labels, Path("made"), index))
    return pack(samples, 40)


def moved(number: int, modules: int, optimizer: str) -> set[str]:
    """Names of the parameters that one step of a stage changes."""
    model = tiny_model(modules)
    before = {name: value.clone() for name, value in model.named_parameters()}
    # The stage grows new modules; those have no "before" and are compared with what growing gives.
    settings = replace(SETTINGS, steps=1, warmup=0.0, optimizer=optimizer)
    grown = stage(number).prepare(tiny_model(modules), torch.Generator().manual_seed(settings.seed))
    before |= {name: value.detach().clone() for name, value in grown.named_parameters()}
    train(model, stage(number), RowStream(rows), settings)
    return {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}


def names(modules: int, backbone: bool, chain: bool) -> set[str]:
    """Exactly the parameters of a model with that many modules which a stage should move."""
    layer = {
        "input_layernorm.weight",
        "post_attention_layernorm.weight",
        *(f"mlp.{part}_proj.weight" for part in ("gate", "up", "down")),
        *(f"self_attn.{part}_proj.weight" for part in "qkvo"),
        *(f"self_attn.{part}_proj.bias" for part in "qkv"),
    }
    wanted = set()
    if backbone:
        wanted |= {f"backbone.model.layers.{i}.{name}" for i in range(2) for name in layer}
        wanted |= {
            "backbone.model.embed_tokens.weight",
            "backbone.model.norm.weight",
            "backbone.lm_head.weight",
        }
    if chain:
        own = {f"layer.{name}" for name in layer} | {
            f"{p}.weight" for p in ("projection", "embed_norm", "hidden_norm")
        }
        wanted |= {f"chain.{k}.{name}" for k in range(modules) for name in own}
    return wanted


@pytest.mark.parametrize(
    ("number", "before", "after", "backbone", "chain"),
    [
        (0, 0, 0, True, False),
        (1, 0, 0, True, False),
        (2, 0, 1, False, True),
        (3, 1, 10, False, True),
        (4, 3, 3, True, True),
    ],
)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_stage_moves_exactly_its_parameters(number, before, after, backbone, chain, optimizer):
    # A key's bias shifts all scores of a query alike, so its gradient is zero but for rounding.
    assert moved(number, before, optimizer) ^ names(after, backbone, chain) <= {
        name for name in names(after, backbone, chain) if name.endswith("k_proj.bias")
    }


def test_a_stage_of_the_top_moves_the_top_layers_alone():
    own = {name for name in names(0, True, False) if ".layers.1." in name}
    top = replace(STAGES[1], top=1)
    moving = {name for _, name, _ in top.parameters(top.prepare(tiny_model(0), torch.Generator()))}
    assert moving == own
    model = tiny_model(0)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    train(model, top, RowStream(rows), replace(SETTINGS, steps=1, warmup=0.0))
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed ^ own <= {name for name in own if name.endswith("k_proj.bias")}


def test_a_stage_refuses_a_model_it_cannot_start_from():
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(StageError, match="trains 1 modules, but the model has 3 already"):
        STAGES[2].prepare(tiny_model(3), generator)
    with pytest.raises(StageError, match="run stages 2 and 3 first"):
        STAGES[4].prepare(tiny_model(0), generator)
    with pytest.raises(StageError, match="no stage 5"):
        stage(5)


def test_learning_makes_the_loss_fall():
    history = train(tiny_model(0), stage(1), RowStream(lambda epoch: rows(0)), replace(SETTINGS, steps=40))
    assert history[-1]["loss/backbone"] < 0.9 * history[0]["loss/backbone"]


def test_batches_change_nothing():
    whole = train(tiny_model(2), stage(4), RowStream(rows), SETTINGS)
    parts = train(tiny_model(2), stage(4), RowStream(rows), replace(SETTINGS, batch_rows=1))
    for one, other in zip(whole, parts, strict=True):
        for name in one:
            if name not in TIMES:
                assert one[name] == pytest.approx(other[name], abs=1e-4), name


@pytest.mark.parametrize(("tied", "optimizer"), [(False, "adamw"), (True, "adamw"), (True, "muon")])
def test_a_resumed_run_ends_with_the_same_losses(tmp_path, tied, optimizer):
    settings = replace(SETTINGS, optimizer=optimizer)
    straight = train(tiny_model(1, tie_word_embeddings=tied), stage(4), RowStream(rows), settings)

    class Stop(Exception):
        pass

    def stop(row):
        if row["step"] == 3:  # after the checkpoint at step 2, before the one at step 4
            raise Stop

    model = tiny_model(1, tie_word_embeddings=tied)
    with pytest.raises(Stop):
        train(model, stage(4), RowStream(rows), settings, folder=tmp_path, listeners=[stop])
    assert len(read_history(tmp_path)) == 4
    model = tiny_model(1, seed=5, tie_word_embeddings=tied)  # its weights come from the checkpoint
    resumed = train(model, stage(4), RowStream(rows), settings, folder=tmp_path)
    assert [row["step"] for row in resumed] == list(range(6))
    seconds = [row["seconds"] for row in resumed]
    assert seconds == sorted(seconds), "a resumed run goes on counting where it stopped"
    for one, other in zip(straight, resumed, strict=True):
        assert one["loss/module 0"] == pytest.approx(other["loss/module 0"], abs=1e-6)
    assert [path.name for path in tmp_path.glob("checkpoint*")] == ["checkpoint-0000006"]
    assert [row["step"] for row in read_history(tmp_path)] == list(range(6))


@pytest.mark.parametrize(
    ("changed", "key", "said"),
    [
        (
            {"steps": 8},
            "data",
            r"steps: 6 there, 8 here.*the cosine .* choose another folder, or delete this one",
        ),
        ({"learning_rates": {Part.BACKBONE: 1e-4, Part.CHAIN: 1e-3}}, "data", "learning_rates"),
        ({}, "other data", "key: data there, other data here"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, changed, key, said):
    train(tiny_model(1), stage(4), RowStream(rows), SETTINGS, folder=tmp_path, key="data")
    other = replace(SETTINGS, **changed)
    with pytest.raises(ValueError, match=said):
        train(tiny_model(1), stage(4), RowStream(rows), other, folder=tmp_path, key=key)
    train(
        tiny_model(1), stage(4), RowStream(rows), replace(SETTINGS, batch_rows=1), folder=tmp_path, key="data"
    )


def test_a_checkpoint_without_an_identity_goes_on_where_it_fits(tmp_path):
    first = train(tiny_model(1), stage(4), RowStream(rows), SETTINGS, folder=tmp_path)
    (identity,) = tmp_path.glob(f"checkpoint-*/{FILE}")
    identity.unlink()
    again = train(tiny_model(1), stage(4), RowStream(rows), SETTINGS, folder=tmp_path)
    assert list(again) == list(first)
    with pytest.raises(ValueError, match="its model is another one"):
        train(tiny_model(2), stage(4), RowStream(rows), SETTINGS, folder=tmp_path)


def test_a_model_comes_back_from_the_device_it_trained_on(monkeypatch):
    model = tiny_model(0)
    moves = []
    monkeypatch.setattr(model, "to", moves.append)
    train(model, stage(1), RowStream(rows), replace(SETTINGS, steps=1))
    assert moves == [torch.device("cpu")]
    model.backbone.model.norm.weight.data.fill_(float("nan"))
    with pytest.raises(FloatingPointError):
        train(model, stage(1), RowStream(rows), SETTINGS)
    assert len(moves) == 2, "after a run that failed, too"


def test_one_process_trains_in_one_precision_and_then_in_another():
    histories = [
        train(tiny_model(0), stage(1), RowStream(rows), replace(SETTINGS, steps=1, precision=precision))
        for precision in ("no", "bf16", "no")
    ]
    exact, rounded, again = (history[-1]["loss/backbone"] for history in histories)
    assert exact == again != rounded
    assert rounded == pytest.approx(exact, rel=0.05)


def test_processes_wait_for_one_another_as_long_as_the_data_take(monkeypatch):
    asked = {}
    monkeypatch.setattr(waiting, "PartialState", lambda **options: asked.update(options))
    waiting.processes()
    assert asked["timeout"] >= timedelta(hours=12)


def test_a_loss_that_is_no_number_stops_the_run():
    model = tiny_model(0)
    with torch.no_grad():
        model.backbone.model.norm.weight[0] = float("nan")
    with pytest.raises(
        FloatingPointError, match="the loss is nan at step 0 of stage 1; lower the learning rate"
    ):
        train(model, stage(1), RowStream(rows), SETTINGS)


def test_too_large_a_batch_says_which_setting_to_change(monkeypatch):
    def full(*_):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(SpeechObjective, "forward", full)
    with pytest.raises(MemoryError, match=r"4 rows of 40 tokens does not fit .* lower batch_rows \(now 4\)"):
        train(tiny_model(0), stage(1), RowStream(rows), SETTINGS)


def test_a_run_is_told_as_json_lines_and_to_tensorboard(tmp_path):
    train(tiny_model(1), stage(2), RowStream(rows), SETTINGS, folder=tmp_path)
    names = set(read_history(tmp_path)[0])
    assert {
        "loss/backbone",
        "loss/module 0",
        "accuracy/module 0",
        "learning rate/chain",
        "gradient norm",
    } <= names
    assert list((tmp_path / "tensorboard").glob("events.out.*"))


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="steps must be positive"):
        LoopSettings(steps=0)
    with pytest.raises(ValueError, match="a multiple of log_every, which 200 is not of 7"):
        LoopSettings(steps=1, log_every=7)
    with pytest.raises(ValueError, match="not 'fp8'"):
        LoopSettings(steps=1, precision="fp8")
    with pytest.raises(ValueError, match="no rows to train on"):
        train(tiny_model(0), stage(1), RowStream(lambda epoch: []), SETTINGS)


FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
}
"""What `accelerate launch --use_fsdp ...` tells the processes that it starts."""


def launch(
    folder: Path, processes: int, *arguments: str, variables: Mapping[str, str] | None = None
) -> subprocess.Popen:
    """This file's `main` as accelerate launches it, each process on one thread.

    Without MPI, what starts several processes is the launcher for several GPUs, which the variable then keeps off them.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": "tests"}
    environment |= variables or {}
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        str(processes),
    ]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", "0", __file__, str(folder), *arguments]
    return subprocess.Popen(command, env=environment, start_new_session=True)


def finals(folder: Path) -> dict[str, float]:
    return read_history(folder)[-1]


@pytest.mark.parametrize("variables", [{}, FSDP], ids=["whole", "sharded"])
def test_two_processes_train_as_one_does_also_after_a_kill(tmp_path, variables):
    model = tiny_model(2)
    single = train(model, stage(4), RowStream(rows), SHARED)[-1]
    AcceleratorState._reset_state(True)
    run = launch(tmp_path, 2, "slow", variables=variables)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("checkpoint-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert 0 < len(read_history(tmp_path)) < SETTINGS.steps, "the run should have been killed in the middle"
    assert launch(tmp_path, 2, variables=variables).wait(timeout=120) == 0
    double = finals(tmp_path)
    for name in single:
        if name not in TIMES:
            assert single[name] == pytest.approx(double[name], abs=1e-4), name
    trained = [torch.load(tmp_path / f"process-{index}.pt") for index in range(2)]
    for name, own in model.state_dict().items():
        for other in trained:
            torch.testing.assert_close(other[name], own, atol=1e-4, rtol=0, msg=name)
    if variables:
        parts = [part.stat().st_size for part in tmp_path.glob("checkpoint-*/sharded/*.distcp")]
        assert len(parts) == 2, "each process should write its part of the model"
        assert max(parts) < 1.5 * min(parts), "the parts should be of about one size"
        # The same folder again, by one process, which has the whole model.
        with pytest.raises(ValueError, match="was written with FSDP; launch as before"):
            train(tiny_model(2), stage(4), RowStream(rows), SHARED, folder=tmp_path)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"distributed_type": DistributedType.MULTI_CPU}, "launch without --use_fsdp"),
        ({"distributed_type": DistributedType.FSDP, "is_fsdp2": False}, "launch with --fsdp_version 2"),
    ],
)
def test_ways_of_sharding_that_the_loop_does_not_know_are_refused(monkeypatch, state, said):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match=said):
        is_sharded(SimpleNamespace(**state))


def test_deepspeed_is_refused_before_anything_is_done(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(ValueError, match="launch with --use_fsdp --fsdp_version 2 in place of"):
        processes()


def main(folder: str, pace: str = "") -> None:
    def wait(row):
        if pace:
            time.sleep(1)

    assert processes().num_processes == int(os.environ["WORLD_SIZE"]) == 2, "each process trains on its own"
    if "ACCELERATE_USE_FSDP" in os.environ:
        # accelerate shards models among GPUs only; told that these are some, it does among CPUs what it does there.
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    model = tiny_model(2)
    train(model, stage(4), RowStream(rows), SHARED, folder=Path(folder), listeners=[wait])
    torch.save(model.state_dict(), Path(folder) / f"process-{processes().process_index}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
