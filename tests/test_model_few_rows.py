"""Products with few rows: the other library, the same numbers."""

import pytest
import torch
from tiny import tiny_model
from torch import nn

from labkit.model import grow_chain, packed_weights
from labkit.model.few_rows import AVAILABLE, SMALLEST, FewRowsLinear, use_few_rows

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="this build of PyTorch has no oneDNN")


def large(bias: bool) -> tuple[nn.Linear, FewRowsLinear]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = nn.Linear(512, 1024, bias=bias)
    twin = nn.Linear(512, 1024, bias=bias)
    twin.load_state_dict(plain.state_dict())
    use_few_rows(twin)
    return plain, twin


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("shape", [(1,), (2,), (1, 11), (3, 14), (64,), (65,)])
def test_it_is_the_same_product(bias: bool, packed: bool, shape: tuple[int, ...]) -> None:
    plain, twin = large(bias)
    assert isinstance(twin, FewRowsLinear)
    rows = torch.randn(*shape, 512, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = plain(rows)
        if packed:
            with packed_weights(twin) as extra:
                assert extra == 512 * 1024 * 4
                found = twin(rows)
        else:
            found = twin(rows)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_gradients_take_the_usual_way() -> None:
    plain, twin = large(True)
    rows = torch.ones(4, 512)
    for layer in (plain, twin):
        layer(rows).sum().backward()
    assert torch.equal(plain.weight.grad, twin.weight.grad)


def test_only_large_layers_are_touched() -> None:
    model = tiny_model(1)
    assert not any(isinstance(part, FewRowsLinear) for part in model.modules())
    wide = tiny_model(1, hidden_size=1024, intermediate_size=512, num_attention_heads=16, num_hidden_layers=1)
    touched = {name for name, part in wide.named_modules() if isinstance(part, FewRowsLinear)}
    assert "chain.0.projection" in touched
    assert "backbone.model.layers.0.mlp.up_proj" in touched
    assert "backbone.model.layers.0.self_attn.k_proj" not in touched
    assert SMALLEST > 128 * 1024
    grow_chain(wide, 2)
    assert isinstance(wide.chain[1].projection, FewRowsLinear)
    before = wide.state_dict().keys()
    with packed_weights(wide):
        assert wide.state_dict().keys() == before
    assert not any("packed" in vars(part) for part in wide.modules())
