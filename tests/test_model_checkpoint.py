"""The released layout, both ways; and what a checkpoint that does not fit is told."""

import json
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import GOLDEN, tiny_model

from labkit.model import CheckpointError, SpeechLM, load_speech_lm, released_keys, save_speech_lm, size_config
from labkit.model.checkpoint import find_checkpoint
from labkit.model.layout import read_config, released_config, released_state

CHECKPOINTS = ("k1_untied", "k3_tied", "k10_untied")


def load(folder: Path, **options: object) -> SpeechLM:
    return load_speech_lm(folder, tell=None, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_released_checkpoint_comes_back_byte_for_byte(name: str, tmp_path: Path) -> None:
    save_speech_lm(load(GOLDEN / name), tmp_path / "first")
    original, saved = (
        load_file(folder / "model.safetensors") for folder in (GOLDEN / name, tmp_path / "first")
    )
    assert original.keys() == saved.keys()
    for key, tensor in original.items():
        assert tensor.dtype == saved[key].dtype
        assert tensor.numpy().tobytes() == saved[key].numpy().tobytes(), key
    save_speech_lm(load(tmp_path / "first"), tmp_path / "second")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_config_counts_modules_among_the_layers(name: str) -> None:
    raw = json.loads((GOLDEN / name / "config.json").read_text())
    ours = released_config(load(GOLDEN / name))
    for field in ours.keys() & raw.keys():
        assert ours[field] == raw[field], field
    assert ours["num_hidden_layers"] == 3 + ours["num_nextn_predict_layers"]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shards_and_their_index(tied: bool, dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny_model(2, tie_word_embeddings=tied).to(dtype)
    model.module_loss_weight = 0.3
    save_speech_lm(model, tmp_path, shard_bytes=20_000)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) > 2
    assert set(index["weight_map"].values()) == {file.name for file in files}
    held = sum(tensor.nbytes for file in files for tensor in load_file(file).values())
    assert index["metadata"]["total_size"] == held
    again = load(tmp_path)
    assert again.module_loss_weight == 0.3
    assert again.dtype == dtype
    for name, tensor in released_state(model).items():
        assert torch.equal(tensor, released_state(again)[name])
    ids = torch.tensor([[3, 1, 4, 1, 5]])
    assert torch.equal(model(ids).stages[2], again(ids).stages[2])
    (tmp_path / index["weight_map"]["model.norm.weight"]).unlink()
    with pytest.raises(FileNotFoundError, match=r"which model\.safetensors\.index\.json names"):
        load(tmp_path)


def test_a_model_takes_the_place_of_an_older_one_in_however_many_files(tmp_path: Path) -> None:
    old, new = tiny_model(1, seed=1), tiny_model(1, seed=2)
    for first, second in ((20_000, 10**9), (10**9, 20_000), (10_000, 20_000)):
        folder = tmp_path / f"{first}-{second}"
        save_speech_lm(old, folder, shard_bytes=first)
        save_speech_lm(new, folder, shard_bytes=second)
        save_speech_lm(new, tmp_path / f"fresh-{second}", shard_bytes=second)
        assert contents(folder) == contents(tmp_path / f"fresh-{second}"), "nothing of the old one is left"
        assert torch.equal(load(folder).embed(torch.tensor([3])), new.embed(torch.tensor([3])))


def test_other_files_of_a_folder_are_left_alone(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "scores.json", "adapter.safetensors"):
        (tmp_path / name).write_text(name)
    save_speech_lm(tiny_model(0), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "tokenizer.json", "scores.json", "adapter.safetensors", "config.json", "model.safetensors"
    }  # fmt: skip


def test_a_file_that_is_read_from_stays_whole_while_it_is_replaced(tmp_path: Path) -> None:
    save_speech_lm(tiny_model(1, seed=1), tmp_path)
    model = load(tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as old:
        with torch.no_grad():
            model.backbone.lm_head.weight.zero_()
        save_speech_lm(model, tmp_path)
        assert old.get_tensor("lm_head.weight").abs().sum() > 0
    assert load(tmp_path).backbone.lm_head.weight.abs().sum() == 0


def test_a_hub_ids_tokenizer_comes_with_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def snapshot(source: str, allow_patterns: list[str]) -> str:
        asked.extend(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr("labkit.checkpoints.snapshot_download", snapshot)
    assert find_checkpoint("someone/model") == tmp_path
    for name in (
        "config.json",
        "model-00001-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "merges.txt",
        "chat_template.jinja",
    ):
        assert any(fnmatch(name, pattern) for pattern in asked), name
    assert not any(fnmatch("pytorch_model.bin", pattern) for pattern in asked)


def test_dtype_and_device_by_one_argument(tmp_path: Path) -> None:
    save_speech_lm(tiny_model(1), tmp_path)
    model = load(tmp_path, dtype=torch.bfloat16, device="cpu", attention="eager")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.attention == "eager"


def test_the_user_is_told_what_it_takes(tmp_path: Path) -> None:
    save_speech_lm(tiny_model(1), tmp_path / "small")
    told: list[str] = []
    load_speech_lm(tmp_path / "small", tell=told.append)
    assert len(told) == 1
    assert told[0].startswith("small: ")
    assert "key/value cache" in told[0]


def test_what_does_not_fit_is_refused_before_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_speech_lm(tiny_model(1), tmp_path)
    monkeypatch.setattr("labkit.model.memory.free_memory", lambda device: 1000)
    with pytest.raises(MemoryError, match="only 1000 B are free"):
        load(tmp_path)


def test_legacy_files_load_without_running_code(tmp_path: Path) -> None:
    model = tiny_model(1)
    save_speech_lm(model, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(released_state(model), tmp_path / "pytorch_model.bin")
    assert torch.equal(load(tmp_path).chain[0].projection.weight, model.chain[0].projection.weight)
    torch.save({"model.norm.weight": Path("anything")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(Exception, match="weights_only"):
        load(tmp_path)


def test_every_key_at_fault_is_named(tmp_path: Path) -> None:
    save_speech_lm(tiny_model(2), tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["mtp_projs.1.weight"], state["model.layers.3.mlp.up_proj.weight"]
    state["model.audio_model.encoder.weight"] = torch.zeros(2)
    state["mtp_embed_norms.0.weight"] = torch.zeros(5)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load(tmp_path)
    for line in (
        "4 keys do not fit",
        "missing mtp_projs.1.weight",
        "missing model.layers.3.mlp.up_proj.weight",
        "unexpected model.audio_model.encoder.weight",
        "misshapen mtp_embed_norms.0.weight: (5,), expected (32,)",
    ):
        assert line in str(caught.value)


def test_other_peoples_keys_can_be_left_alone(tmp_path: Path) -> None:
    model = tiny_model(1)
    save_speech_lm(model, tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    save_file({**state, "model.audio_model.x": torch.zeros(2)}, tmp_path / "model.safetensors")
    load(tmp_path, ignore=["model.audio_model."])


def test_a_tied_checkpoint_may_repeat_its_embedding_but_not_contradict_it(tmp_path: Path) -> None:
    save_speech_lm(tiny_model(1, tie_word_embeddings=True), tmp_path)
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    assert "lm_head.weight" not in state
    save_file({**state, "lm_head.weight": state["model.embed_tokens.weight"].clone()}, path)
    load(tmp_path)
    save_file({**state, "lm_head.weight": state["model.embed_tokens.weight"] + 1}, path)
    with pytest.raises(CheckpointError, match=r"differs from model\.embed_tokens\.weight"):
        load(tmp_path)


def test_a_plain_qwen2_checkpoint_is_a_model_without_modules(tmp_path: Path) -> None:
    model = tiny_model(0)
    model.backbone.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert again.num_modules == 0
    ids = torch.tensor([[3, 1, 4]])
    assert torch.equal(again(ids).stages[0], model(ids).stages[0])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model_type": "llama"}, CheckpointError, "'llama' is not a Qwen2 model"),
        ({"num_nextn_predict_layers": 9}, CheckpointError, "cannot hold 9 MCTP modules"),
        (None, FileNotFoundError, "no config.json"),
    ],
)
def test_a_config_of_something_else(
    change: dict | None, error: type[Exception], message: str, tmp_path: Path
) -> None:
    if change is not None:
        raw = json.loads((GOLDEN / "k1_untied" / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**raw, **change}))
    with pytest.raises(error, match=message):
        read_config(tmp_path)


def test_no_checkpoint_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match="neither a folder nor a hub id"):
        load(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text((GOLDEN / "k1_untied" / "config.json").read_text())
    with pytest.raises(FileNotFoundError, match="no weights in"):
        load(tmp_path)


def test_every_released_key_has_its_place_at_7b() -> None:
    """38 layers on the meta device: no memory, all names and shapes."""
    model = SpeechLM.empty(size_config("7B"), num_modules=10)
    state = released_state(model)
    assert {tensor.device.type for tensor in state.values()} == {"meta"}
    assert set(state) == set(released_keys(28, 10, tied=False))
    assert len(state) == 3 + 38 * 12 + 3 * 10
    shapes = {
        "model.embed_tokens.weight": (168072, 3584),
        "lm_head.weight": (168072, 3584),
        "model.layers.37.mlp.down_proj.weight": (3584, 18944),
        "model.layers.28.self_attn.k_proj.weight": (512, 3584),
        "mtp_projs.9.weight": (3584, 7168),
        "mtp_hidden_norms.0.weight": (3584,),
    }
    assert {key: tuple(state[key].shape) for key in shapes} == shapes
    assert released_config(model)["num_hidden_layers"] == 38


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_written_out_keys_are_those_of_the_recordings(name: str) -> None:
    config, modules, _ = read_config(GOLDEN / name)
    with safe_open(GOLDEN / name / "model.safetensors", framework="pt") as tensors:
        held = set(tensors.keys())
    assert held == set(released_keys(config.num_hidden_layers, modules, config.tie_word_embeddings))


def test_matrices_may_be_stored_in_8_bits_and_are_computed_with_in_16(tmp_path: Path) -> None:
    model = tiny_model(2).to(torch.float16)
    folder = save_speech_lm(model, tmp_path, matrices=torch.float8_e4m3fn)
    for dtype, expected in ((None, torch.float16), (torch.float32, torch.float32)):
        back = load_speech_lm(folder, dtype=dtype, tell=None)
        for (name, own), (_, read) in zip(model.named_parameters(), back.named_parameters(), strict=True):
            stored = own.to(torch.float8_e4m3fn) if own.ndim > 1 else own
            assert read.dtype == expected
            assert torch.equal(read.float(), stored.float()), name
    assert load_speech_lm(folder, tell=None)(torch.tensor([[1, 2, 3]])).stages[0].isfinite().all()
