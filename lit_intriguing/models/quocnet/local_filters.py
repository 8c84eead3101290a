"""A layer of local filters without weight sharing."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from lit_intriguing.errors import UserError
from lit_intriguing.models.quocnet.drawing import draw, new_seed
from lit_intriguing.models.quocnet.positions import Positions, pair
from lit_intriguing.models.quocnet.sharded import filtered_in_parts, spread_in_parts
from lit_intriguing.models.quocnet.untied import Part, filtered, spread


class LocalFilters(nn.Module):
    """Linear filters of windows of an image; each position has its own (Le et al. 2012).

    The weight is `(L, maps, C * kernel^2)`, L positions row by row. There is no bias. Pixels at
    the lower and right edge that no window reaches are not seen, where the stride leaves some.
    `decode` is the transpose, or, with an untied decoder, has filters of its own, the parameter
    `decoder_weight` of the same shape.

    Args:
        input_shape: Channels, height and width of an image.
        maps: Filters at each position.
        kernel: Height and width of a window, one number or two.
        stride: Pixels from window to window.
        scale: Norm of a filter at the start, on average; weights are drawn from a normal law.
        memory: MiB that copies of windows may take at once; one window of each image of the batch
            is the least. The forward pass keeps none, the backward pass copies them again.
        untied_decoder: Give `decode` filters of its own.
        device: Where the weights are made (None: torch's default). On "meta" they have no values
            until `materialise`, `shard_positions` or `load_state_dict` gives them some.

    Raises:
        UserError: If no window fits into the images, or a number is out of range; in `forward`,
            for images of another shape, or if the weights have no values yet.

    Example:
        >>> LocalFilters((3, 32, 32), maps=8, kernel=8)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 8, 25, 25])
    """

    decoder_weight: nn.Parameter | None

    def __init__(
        self,
        input_shape: Sequence[int],
        maps: int = 8,
        kernel: int | Sequence[int] = 18,
        stride: int | Sequence[int] = 1,
        scale: float = 0.1,
        memory: float = 16.0,
        untied_decoder: bool = False,
        device: str | None = None,
    ) -> None:
        super().__init__()
        if len(input_shape) != 3 or min(*input_shape, maps) < 1:
            raise UserError(
                f"LocalFilters: input_shape {list(input_shape)} must be channels, height and "
                f"width; these and maps, {maps}, must be at least 1"
            )
        if not (scale > 0 and memory > 0):
            raise UserError(f"LocalFilters: scale {scale} and memory {memory} must be above 0")
        self.channels, self.maps, self.memory, self.scale = input_shape[0], maps, memory, scale
        image = (input_shape[1], input_shape[2])
        self.positions = Positions(image, pair(kernel), pair(stride))
        taps = self.channels * math.prod(self.positions.kernel)
        shape = len(self.positions), maps, taps
        self.weight = nn.Parameter(torch.empty(shape, device=device))
        own = nn.Parameter(torch.empty(shape, device=device)) if untied_decoder else None
        self.register_parameter("decoder_weight", own)
        self.register_load_state_dict_pre_hook(_make_room)  # type: ignore[no-untyped-call]
        self._seeds: dict[str, int] = {}
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights; for those without values, choose which will be drawn."""
        for name, weight in self.named_parameters(recurse=False):
            self._seeds[name] = new_seed()
            if not weight.is_meta:
                self.draw(name, weight.detach())

    def draw(self, name: str, out: Tensor, first: int = 0, seed: int | None = None) -> None:
        """Fill in the weights of some positions, the same whoever draws them.

        Args:
            name: Of the parameter.
            out: `(positions, maps, C * kernel^2)`, filled in.
            first: Number of the first of these positions.
            seed: In the place of the layer's own, see `seed_of`.
        """
        std = self.scale / math.sqrt(out.shape[2])
        draw(out, self._seeds[name] if seed is None else seed, first, std)

    def seed_of(self, name: str) -> int:
        """Return the number on which a parameter's first values depend."""
        return self._seeds[name]

    def materialise(self) -> None:
        """Give weights without values (device "meta") those that they would have begun with."""
        for name, weight in list(self.named_parameters(recurse=False)):
            if weight.is_meta:
                own = torch.empty_like(weight, device="cpu")
                self.draw(name, own)
                setattr(self, name, nn.Parameter(own, weight.requires_grad))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return (self.channels, *self.positions.image)

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Maps, rows and columns of positions."""
        return (self.maps, *self.positions.sides)

    @property
    def filters(self) -> Tensor:
        """The weight as images, `(L, maps, C, kernel height, kernel width)`."""
        return self.weight.view(*self.weight.shape[:2], self.channels, *self.positions.kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(N, maps, rows, columns)` of images `(N, C, H, W)`.

        Raises:
            UserError: If they have another shape, or the weights have no values yet.
        """
        _check(x, self.input_shape, "images")
        weight, part = self._with_values(self.weight, x), self._part()
        if isinstance(weight, DTensor):
            return self._as_maps(filtered_in_parts(x, weight, part))
        return self._as_maps(filtered(x, weight, part))

    def decode(self, y: Tensor) -> Tensor:
        """Return the images `(N, C, H, W)` that the decoder's filters add up to.

        Those of `forward`, of which it is the transpose, or its own.

        Args:
            y: How much of each filter, `(N, maps, rows, columns)`.

        Raises:
            UserError: If there are other numbers of them, or the weights have no values yet.
        """
        _check(y, self.output_shape, "maps")
        own = self.decoder_weight
        weight = self._with_values(self.weight if own is None else own, y)
        y, part = y.flatten(2).permute(2, 0, 1), self._part()
        if isinstance(weight, DTensor):
            return spread_in_parts(y, weight, part)
        return spread(y, weight, part)

    def extra_repr(self) -> str:
        """Return the sizes, for `print`."""
        return (
            f"{self.input_shape}, maps={self.maps}, kernel={self.positions.kernel}, "
            f"stride={self.positions.stride}, untied_decoder={self.decoder_weight is not None}"
        )

    def _part(self) -> Part:
        return Part(self.positions, memory=int(self.memory * 2**20))

    def _with_values(self, weight: Tensor, x: Tensor) -> Tensor:
        if weight.is_meta and not x.is_meta:
            raise UserError(
                "LocalFilters: its weights have no values yet, as it was made on the device meta: "
                "call its `materialise`, load weights, or make it without `device`"
            )
        return weight

    def _as_maps(self, y: Tensor) -> Tensor:
        return y.permute(1, 2, 0).reshape(y.shape[1], self.maps, *self.positions.sides)


def materialise(module: nn.Module) -> None:
    """Give weights without values in all local filters of a module those that they begin with."""
    for part in module.modules():
        if isinstance(part, LocalFilters):
            part.materialise()


def _make_room(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give weights without values a place for those of a checkpoint, which torch would drop."""
    for name, weight in list(module.named_parameters(recurse=False)):
        if weight.is_meta and prefix + name in state:
            room = torch.empty_like(weight, device="cpu")
            setattr(module, name, nn.Parameter(room, weight.requires_grad))


def _check(x: Tensor, wanted: tuple[int, int, int], what: str) -> None:
    if x.ndim != 4 or tuple(x.shape[1:]) != wanted:
        found = " by ".join(map(str, x.shape[1:]))
        raise UserError(
            f"LocalFilters: {what} of {found}, but each position has filters of its own, for "
            f"{' by '.join(map(str, wanted))}: set the network's `input_shape` to the data's, or "
            "the data's `size` to the network's"
        )
