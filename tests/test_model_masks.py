"""Who may see whom: the masks against the four rules spelled out, and what each kernel makes of them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import random_ids, tiny_model

from labkit.model import attention as attention_module
from labkit.model.masks import Pass, Segments, additive, causal_mask, kernel_arguments
from labkit.model.speech_lm import sequence_geometry


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.integers(0, 3),
    st.integers(0, 4),
    st.integers(0, 3),
)
def test_packed_rows_follow_the_rules(lengths: list[int], stage: int, cached: int, padding: int) -> None:
    positions = torch.tensor([[-1] * padding + [p for length in lengths for p in range(length)]])
    columns = positions.shape[1]
    samples = torch.tensor([[-1] * padding + [s for s, length in enumerate(lengths) for _ in range(length)]])
    stage = min(stage, columns - 1)
    start = min(stage + cached, columns)
    visible = Pass(stage, start, positions, samples=samples).visible[0, 0]
    assert visible.shape == (columns - start, columns - stage)
    for row, query in enumerate(range(start, columns)):
        for entry, key in enumerate(range(stage, columns)):
            expected = key <= query and positions[0, key] >= stage and samples[0, key] == samples[0, query]
            assert visible[row, entry] == expected


@given(st.integers(1, 12), st.integers(0, 3))
def test_a_regular_pass_needs_no_position(columns: int, stage: int) -> None:
    positions = torch.arange(columns)[None]
    plain = Pass(stage, stage, positions, regular=True)
    assert torch.equal(plain.visible, Pass(stage, stage, positions).visible)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_row_that_sees_nothing_stays_a_number(dtype: torch.dtype) -> None:
    mask = additive(torch.zeros(1, 1, 1, 3, dtype=torch.bool), dtype)
    assert mask.dtype == dtype
    assert (torch.zeros(1, 1, 1, 3, dtype=dtype) + mask).softmax(-1).isfinite().all()


def test_a_single_row_without_padding_needs_no_mask() -> None:
    positions = torch.arange(5)[None]
    assert (
        kernel_arguments(Pass(0, 4, positions, regular=True), "eager", torch.float32)["attention_mask"]
        is None
    )
    padded = Pass(0, 4, positions - 1)
    assert kernel_arguments(padded, "eager", torch.float32)["attention_mask"] is not None


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_a_layer_called_without_a_mask_is_still_causal(kernel: str) -> None:
    """By itself, transformers' eager attention without a mask reads the future."""
    model = tiny_model(0)
    layer, hidden = model.layers[0], torch.randn(1, 6, 32, generator=torch.Generator().manual_seed(0))
    rotary = model.backbone.model.rotary_emb(hidden, torch.arange(6)[None])
    changed = hidden.clone()
    changed[:, 4:] += 1
    outputs = [
        layer(h, position_embeddings=rotary, attention_mask=None, kernel=kernel) for h in (hidden, changed)
    ]
    torch.testing.assert_close(outputs[0][:, :4], outputs[1][:, :4])
    assert not torch.allclose(outputs[0][:, 4:], outputs[1][:, 4:])


def test_transformers_own_forward_is_causal_with_our_attention() -> None:
    """The mask function is registered beside the attention function; without it this leaks."""
    model = tiny_model(0)
    ids = torch.tensor([random_ids(9)])
    changed = ids.clone()
    changed[:, 6:] = 7
    before, after = (model.backbone(x).logits[:, :6] for x in (ids, changed))
    torch.testing.assert_close(before, after)
    padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), ids], dim=1)
    mask = (torch.arange(12) >= 3).long()[None]
    positions = (torch.arange(12) - 3).clamp_min(0)[None]
    shifted = model.backbone(padded, attention_mask=mask, position_ids=positions).logits[:, 3:]
    torch.testing.assert_close(shifted, model.backbone(ids).logits, atol=1e-5, rtol=1e-5)


def test_an_unknown_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="no attention kernel 'fast'"):
        tiny_model(0, attention="fast")
    with pytest.raises(ValueError, match="flash-attn"):
        tiny_model(0, attention="flash_attention_2")
    model = tiny_model(0)
    model.attention = "typo"
    with pytest.raises(ValueError, match="no attention kernel 'typo'"):
        model(torch.tensor([[1, 2]]))


def flash_stand_in(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    padding_mask: torch.Tensor | None,
    softmax_scale: float,
    **packed: object,
) -> torch.Tensor:
    """Flash attention's arithmetic on the CPU: causal from the bottom right, padding and packing as it takes them."""
    batch, queries, heads, _ = query.shape
    keys = key.shape[1]
    mask = causal_mask(queries, keys, query.dtype, query.device).expand(batch, 1, queries, keys).clone()
    if padding_mask is not None:
        assert packed.get("cu_seq_lens_q") is None
        mask.masked_fill_(padding_mask[:, None, None].bool().logical_not(), torch.finfo(query.dtype).min)
    if packed.get("cu_seq_lens_q") is not None:
        bounds = packed["cu_seq_lens_q"]
        assert bounds[-1] == batch * queries
        assert bounds.diff().max() == packed["max_length_q"]
        segment = torch.bucketize(torch.arange(batch * queries), bounds, right=True).view(batch, queries)
        apart = segment[:, None, :, None] != segment[:, None, None, :]
        mask.masked_fill_(apart, torch.finfo(query.dtype).min)
    groups = heads // key.shape[2]
    key, value = (x.repeat_interleave(groups, 2).transpose(1, 2) for x in (key, value))
    weights = (query.transpose(1, 2) @ key.transpose(2, 3) * softmax_scale + mask).softmax(-1)
    return (weights @ value).transpose(1, 2)


@pytest.fixture
def flash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_module, "_flash_attention_forward", flash_stand_in)


@pytest.mark.usefixtures("flash")
@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.booleans())
def test_flash_attention_gets_the_same_meaning(lengths: list[int], packed: bool) -> None:
    """Its padding masks and segments say what the other kernels' masks say."""
    model = tiny_model(3)
    if packed:
        ids = torch.tensor([random_ids(sum(lengths))])
        arguments = {"positions": torch.tensor([[p for length in lengths for p in range(length)]])}
    else:
        longest = max(lengths)
        ids = torch.tensor([random_ids(longest, seed) for seed in range(len(lengths))])
        arguments = {
            "attention_mask": torch.arange(longest)[None] >= longest - torch.tensor(lengths)[:, None]
        }
    outputs = {}
    for kernel in ("eager", "flash_attention_2"):
        model.attention = kernel
        with torch.no_grad():
            outputs[kernel] = model(ids, **arguments)
    geometry = sequence_geometry(
        ids.shape, ids.device, arguments.get("attention_mask"), arguments.get("positions")
    )
    for stage, (eager, flash_output) in enumerate(
        zip(outputs["eager"].stages, outputs["flash_attention_2"].stages, strict=True)
    ):
        real = geometry["positions"][:, stage:] >= stage
        torch.testing.assert_close(eager[real], flash_output[real], atol=1e-5, rtol=1e-5)


def test_rows_that_are_none_of_the_stage_are_segments_of_their_own() -> None:
    positions = torch.tensor([[0, 1, 2, 3, 0, 1, 2]])
    samples = torch.tensor([[0, 0, 0, 0, 1, 1, 1]])
    segments = Segments.of(Pass(2, 2, positions, samples=samples))
    assert segments.boundaries.tolist() == [0, 2, 4, 5]
    assert segments.longest == 2
