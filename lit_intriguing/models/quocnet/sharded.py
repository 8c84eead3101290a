"""Positions of untied filters shared among processes; weights never move, outputs do.

Each process of the mesh's dimension `tensor_parallel` keeps the filters of positions that follow
each other, and computes those alone. What goes over the wire: outputs, gathered from all, and
images and their gradients, summed over all. Processes along `data_parallel`, if any, have other
batches and the same weights, whose gradients are averaged.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.placement_types import Placement

from lit_intriguing.errors import UserError
from lit_intriguing.models.quocnet.positions import Positions
from lit_intriguing.models.quocnet.untied import Part, filtered, spread

POSITIONS = "tensor_parallel"
"""The dimension of the mesh along which positions are shared; Lightning's name."""
DATA = "data_parallel"
"""That along which batches differ."""


class Drawn(Protocol):
    """A layer whose weights `(L, maps, taps)` can be drawn in parts: `LocalFilters`."""

    positions: Positions

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield its weights."""

    def seed_of(self, name: str) -> int:
        """Return the number on which a weight's first values depend."""

    def draw(self, name: str, out: Tensor, first: int = 0, seed: int | None = None) -> None:
        """Fill in the weights of some positions."""


def shard_positions(module: Drawn, mesh: DeviceMesh) -> None:
    """Share the positions of a layer's weights `(L, maps, taps)` among processes, in place.

    All processes call it with the same weights: those of the first count. Weights without values
    (device "meta") are drawn here, by each process those of its own positions alone: the same
    values as one process draws that has them all, where it begins with the first process's seed.

    Args:
        module: The layer.
        mesh: With a dimension `tensor_parallel`, and perhaps `data_parallel`.

    Raises:
        UserError: If there are more processes than positions.
    """
    processes, positions = mesh[POSITIONS].size(), len(module.positions)
    if processes > positions:
        raise UserError(
            f"{processes} processes are to share {positions} positions: use at most "
            f"{positions} (tensor_parallel_size), and the rest for data (data_parallel_size)"
        )
    names = mesh.mesh_dim_names or ()
    placements = [Shard(0) if name == POSITIONS else Replicate() for name in names]
    for name, weight in list(module.named_parameters(recurse=False)):
        if isinstance(weight, DTensor):
            continue
        if weight.is_meta:
            shared = _drawn(module, name, weight, mesh, placements)
        else:
            shared = distribute_tensor(weight.detach(), mesh, placements)
        setattr(module, name, nn.Parameter(shared, weight.requires_grad))


def _drawn(
    module: Drawn,
    name: str,
    weight: Tensor,
    mesh: DeviceMesh,
    placements: Sequence[Placement],
) -> DTensor:
    """Return a weight of which this process has drawn its own positions."""
    own = _share(len(weight), mesh[POSITIONS])
    here = torch.empty(len(own), *weight.shape[1:], dtype=weight.dtype, device=mesh.device_type)
    seed = torch.tensor(module.seed_of(name))
    everywhere = distribute_tensor(seed, mesh, [Replicate()] * mesh.ndim)
    module.draw(name, here, own.start, int(everywhere.to_local()))
    return DTensor.from_local(
        here, mesh, placements, run_check=False, shape=weight.shape, stride=weight.stride()
    )


def filtered_in_parts(x: Tensor, weight: DTensor, part: Part) -> Tensor:
    """Return `untied.filtered` of all positions; each process computes its own."""
    mesh = weight.device_mesh[POSITIONS]
    own, mine = _own(weight, part)
    # Each process adds to the gradient by the image.
    image = DTensor.from_local(x, mesh, [Replicate()], run_check=False)
    y = filtered(image.to_local(grad_placements=[Partial()]), own, mine)
    whole = torch.Size((len(part.positions), *y.shape[1:]))
    parts = DTensor.from_local(
        y, mesh, [Shard(0)], run_check=False, shape=whole, stride=_stride(whole)
    )
    return parts.full_tensor(grad_placements=[Replicate()])


def spread_in_parts(y: Tensor, weight: DTensor, part: Part) -> Tensor:
    """Return `untied.spread` of all positions: the sum of what each process adds."""
    mesh = weight.device_mesh[POSITIONS]
    own, mine = _own(weight, part)
    parts = DTensor.from_local(y.contiguous(), mesh, [Replicate()], run_check=False)
    shares = parts.redistribute(placements=[Shard(0)]).to_local()
    image = spread(shares, own, mine)
    added = DTensor.from_local(image, mesh, [Partial()], run_check=False)
    return added.full_tensor(grad_placements=[Replicate()])


def _own(weight: DTensor, part: Part) -> tuple[Tensor, Part]:
    """Return this process's weight, and which positions it is of."""
    mesh = weight.device_mesh
    first = _share(len(part.positions), mesh[POSITIONS]).start
    own = weight.to_local()
    if DATA in (mesh.mesh_dim_names or ()) and mesh[DATA].size() > 1 and own.requires_grad:
        group = mesh[DATA].get_group()
        own.register_hook(lambda gradient: _mean(gradient, group))  # type: ignore[no-untyped-call]
    return own, Part(part.positions, first, part.memory)


def _share(positions: int, line: DeviceMesh) -> range:
    """Return the numbers of this process's positions."""
    each = -(-positions // line.size())  # as torch.chunk parts them
    first = min(each * line.get_local_rank(), positions)
    return range(first, min(first + each, positions))


def _mean(gradient: Tensor, group: dist.ProcessGroup) -> Tensor:
    total = gradient.clone()
    dist.all_reduce(total, group=group)
    return total / dist.get_world_size(group)


def _stride(shape: torch.Size) -> tuple[int, ...]:
    return (shape[1] * shape[2], shape[2], 1)
