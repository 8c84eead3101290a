"""The network of Le et al. 2012, of any number of stages."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.models.quocnet.l2_pool import L2Pool
from lit_intriguing.models.quocnet.local_contrast import LocalContrastNormalisation
from lit_intriguing.models.quocnet.local_filters import LocalFilters


class Stage(nn.Module):
    """Local filters, L2 pooling, local contrast normalisation: `filters`, `pool`, `contrast`.

    Args:
        filters: See `LocalFilters`.
        pool: See `L2Pool`.
        contrast: See `LocalContrastNormalisation`.

    Raises:
        UserError: If no pool fits into the maps.
    """

    def __init__(
        self, filters: LocalFilters, pool: L2Pool, contrast: LocalContrastNormalisation
    ) -> None:
        super().__init__()
        self.filters, self.pool, self.contrast = filters, pool, contrast
        self.output_shape = pool.output_shape(filters.output_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Return features `(N, maps, rows, columns)` of images `(N, C, H, W)`."""
        features: Tensor = self.contrast(self.pool(self.filters(x)))
        return features


class QuocNet(nn.Module):
    """Stages of local filters without weight sharing, L2 pooling and contrast normalisation.

    The network of Le et al. 2012, *Building high-level features using large scale unsupervised
    learning*, whose three stages see 200 x 200 pixels through kernels of 18. Its layers are the
    submodules `pixels`, the contrast normalisation of the images, if any, and `stage1`, `stage2`,
    ..., each of `filters`, `pool` and `contrast`. Options of a stage are one number for all, or
    one for each.

    Args:
        input_shape: Channels, height and width of the images.
        stages: How many.
        maps: Filters at each position.
        kernel: Height and width of a filter's window.
        stride: Pixels from window to window.
        pool: Height and width of a pool.
        pool_stride: Pixels from pool to pool.
        contrast: Odd height and width of the window of the contrast normalisation.
        floor: Root mean square below which contrast is not raised to one.
        pixels: Odd window of a contrast normalisation of the images (null: none).
        pixels_floor: Its floor, in the units of pixels.
        scale: Norm of a filter at the start.
        memory: MiB for copies of windows at once; see `LocalFilters`.
        untied_decoder: Filters of its own for the decoder of each stage, which doubles the weights.
        device: Where the weights are made (null: torch's default). "meta" leaves that to
            `ReconstructionTICA`: under `ModelParallelStrategy` no process ever holds them all.

    Raises:
        UserError: For numbers that do not fit together, with the stage that does not fit.

    Example:
        >>> import torch
        >>> QuocNet((3, 32, 32), stages=2, kernel=[8, 5])(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 8, 13, 13])
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (3, 200, 200),
        stages: int = 3,
        maps: int | list[int] = 8,
        kernel: int | list[int] = 18,
        stride: int | list[int] = 1,
        pool: int | list[int] = 5,
        pool_stride: int | list[int] = 1,
        contrast: int | list[int] = 5,
        floor: float = 0.01,
        pixels: int | None = None,
        pixels_floor: float = 0.1,
        scale: float = 0.1,
        memory: float = 16.0,
        untied_decoder: bool = False,
        device: str | None = None,
    ) -> None:
        super().__init__()
        self.init_args = {name: one for name, one in locals().items() if name in _OPTIONS}
        if stages < 1:
            raise UserError(f"QuocNet needs at least one stage, not {stages}")
        self.pixels = None if pixels is None else LocalContrastNormalisation(pixels, pixels_floor)
        each = {"maps": maps, "kernel": kernel, "stride": stride, "pool": pool,
                "pool_stride": pool_stride, "contrast": contrast}  # fmt: skip
        options: dict[str, Any] = {"scale": scale, "memory": memory,
                                   "untied_decoder": untied_decoder, "device": device}  # fmt: skip
        varied = {name: _for_each(name, value, stages) for name, value in each.items()}
        shape = tuple(input_shape)
        self._names = [f"stage{number}" for number in range(1, stages + 1)]
        for index, name in enumerate(self._names):
            here = {key: values[index] for key, values in varied.items()}
            stage = _stage(name, shape, here, floor, options)
            self.add_module(name, stage)
            shape = stage.output_shape
        self.feature_shape = shape

    @property
    def stages(self) -> list[Stage]:
        """The stages from the images on."""
        return [self.get_submodule(name) for name in self._names]  # type: ignore[misc]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images."""
        return self.stages[0].filters.input_shape

    def prepare(self, x: Tensor) -> Tensor:
        """Return what the first stage gets of images `(N, C, H, W)`, of the same shape."""
        return x if self.pixels is None else self.pixels(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return features `(N, maps, rows, columns)` of images `(N, C, H, W)`, pixels in [0, 1]."""
        x = self.prepare(x)
        for stage in self.stages:
            x = stage(x)
        return x


_OPTIONS = frozenset(
    {"input_shape", "stages", "maps", "kernel", "stride", "pool", "pool_stride", "contrast"}
    | {"floor", "pixels", "pixels_floor", "scale", "memory", "untied_decoder", "device"}
)


def _stage(
    name: str,
    shape: Sequence[int],
    sizes: dict[str, int],
    floor: float,
    options: dict[str, Any],
) -> Stage:
    try:
        filters = LocalFilters(shape, sizes["maps"], sizes["kernel"], sizes["stride"], **options)
        pool = L2Pool(sizes["pool"], sizes["pool_stride"])
        return Stage(filters, pool, LocalContrastNormalisation(sizes["contrast"], floor))
    except UserError as error:
        raise UserError(f"QuocNet, {name}, which gets {_by(shape)}: {error}") from error


def _for_each(name: str, value: int | list[int], stages: int) -> list[int]:
    values = [value] * stages if isinstance(value, int) else list(value)
    if len(values) != stages:
        raise UserError(
            f"QuocNet: {name} has {len(values)} values for {stages} stages: give one for each, or "
            "a single number"
        )
    return values


def _by(shape: Sequence[int]) -> str:
    return " by ".join(map(str, shape))
