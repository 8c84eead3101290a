import pytest
import torch

from lit_intriguing.errors import UserError
from lit_intriguing.lipschitz import operator_norm
from lit_intriguing.models import L2Pool
from tests.lipschitz import truth


@pytest.mark.parametrize(("kernel", "stride"), [(2, 1), (3, 2), ((3, 2), (1, 3)), (2, 2)])
def test_it_is_the_root_of_the_sum_of_squares_of_each_window(
    kernel: int | tuple[int, int], stride: int | tuple[int, int]
) -> None:
    pool = L2Pool(kernel, stride, eps=0.01)
    x = torch.randn(2, 3, 6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (high, wide), (down, across) = pool.kernel, pool.stride
    windows = x.unfold(2, high, down).unfold(3, wide, across)
    assert torch.allclose(pool(x), (windows.square().sum((-2, -1)) + 0.01).sqrt())
    assert pool(x).shape[1:] == pool.output_shape((3, 6, 7))
    small = x[:1, :1].clone().requires_grad_()
    assert torch.autograd.gradcheck(pool, small)
    assert torch.autograd.gradgradcheck(pool, small)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_a_window_is_added_up_in_whole(dtype: torch.dtype) -> None:
    x = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = L2Pool(9, eps=1e-6)(x)
    assert found.dtype == dtype
    wanted = L2Pool(9, eps=1e-6)(x.double())
    # As much as rounding once each of squares, sums and roots.
    torch.testing.assert_close(found.double(), wanted, rtol=2 * torch.finfo(dtype).eps, atol=0.0)


def test_it_bears_torch_func_and_other_layouts_of_memory() -> None:
    pool = L2Pool(3, (1, 2), eps=0.01)
    x = torch.rand(4, 2, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turned = x.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1)
    assert torch.equal(pool(turned), pool(x))
    each = torch.func.vmap(torch.func.grad(lambda one: pool(one[None]).sum()))(x)
    leaf = x.clone().requires_grad_()
    (together,) = torch.autograd.grad(pool(leaf).sum(), leaf)
    assert torch.allclose(each, together)


def test_its_slope_at_zero_is_zero_and_finite() -> None:
    x = torch.zeros(1, 1, 3, 3, requires_grad=True)
    L2Pool(2)(x).sum().backward()
    assert x.grad is not None
    assert not x.grad.any()


@pytest.mark.parametrize(("kernel", "stride"), [(2, 1), (3, 2), ((3, 2), (1, 3)), (2, 2), (2, 3)])
def test_its_constant_holds_and_is_reached_where_one_place_is_large(
    kernel: int | tuple[int, int], stride: int | tuple[int, int]
) -> None:
    pool, shape = L2Pool(kernel, stride), (2, 7, 6)
    found = operator_norm(pool, shape)
    assert found.kind == "exact"
    generator = torch.Generator().manual_seed(0)
    assert truth.steepest(pool, shape, generator) <= found.value * (1 + 1e-12)
    reached = 0.0
    for place in range(42):
        x = torch.zeros(42, dtype=torch.float64)
        x[place] = 1e6
        reached = max(reached, truth.norm(truth.jacobian(pool, x.view(1, 7, 6))))
    assert reached == pytest.approx(found.value, rel=1e-9)
    assert operator_norm(pool).value >= found.value


def test_maps_that_are_too_small_and_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match="images of 4x9 pixels are smaller than a window of 5x5"):
        L2Pool(5)(torch.zeros(1, 1, 4, 9))
    with pytest.raises(UserError, match="kernel 0 and stride 1 must be at least 1"):
        L2Pool(0)
    with pytest.raises(UserError, match=r"eps, 0\.0"):
        L2Pool(2, eps=0.0)
