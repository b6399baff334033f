"""Packed linear layers: a row has the same bits in any company, and fusing changes none of them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.layers.linear import MIN_ROWS, GeluLinear, PackedLinear, ResidualLinear, SiluLinear, pack_linears

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="oneDNN is not in this build")


def packed(linear: nn.Module) -> nn.Module:
    holder = nn.Sequential(linear).requires_grad_(False)
    pack_linears(holder)
    return holder[0]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("sizes", [(192, 768), (768, 192), (64, 40)])
def test_rows_do_not_know_how_many_they_are(threads: int, sizes: tuple[int, int]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.manual_seed(0)
        gelu, silu, added = (packed(kind(*sizes)) for kind in (GeluLinear, SiluLinear, ResidualLinear))
        x, residual = torch.randn(160, sizes[0]), torch.randn(160, sizes[1])
        with torch.inference_mode():
            whole = gelu(x), added(x, residual), silu(x)
            for count in (MIN_ROWS, 17, 33, 65, 100, 131):
                assert torch.equal(gelu(x[5 : 5 + count].clone()), whole[0][5 : 5 + count])
                assert torch.equal(silu(x[5 : 5 + count].clone()), whole[2][5 : 5 + count])
                part = added(x[5 : 5 + count].clone(), residual[5 : 5 + count].clone())
                assert torch.equal(part, whole[1][5 : 5 + count])
    finally:
        torch.set_num_threads(before)


def test_fused_forms_agree_with_the_plain_modules() -> None:
    torch.manual_seed(0)
    gelu, silu, added = GeluLinear(48, 96), SiluLinear(48, 96), ResidualLinear(48, 96)
    x, residual = torch.randn(20, 48), torch.randn(20, 96)
    with torch.inference_mode():
        torch.testing.assert_close(packed(gelu)(x), gelu(x), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(packed(silu)(x), silu(x), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(packed(added)(x, residual), added(x, residual), atol=1e-5, rtol=1e-5)
        assert not torch.allclose(added(x, residual), added(x, residual * 0))


def test_fusing_saves_a_pass_and_changes_no_bit() -> None:
    torch.manual_seed(0)
    plain, gelu, added = nn.Linear(48, 96), GeluLinear(48, 96), ResidualLinear(48, 96)
    for layer in (gelu, added):
        layer.load_state_dict(plain.state_dict())
    x, residual = torch.randn(20, 48), torch.randn(20, 96)
    with torch.inference_mode():
        product = packed(plain)(x)
        assert isinstance(packed(plain), PackedLinear)
        assert torch.equal(packed(gelu)(x), F.gelu(product))
        assert torch.equal(packed(added)(x, residual), product + residual)
