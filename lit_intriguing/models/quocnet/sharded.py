"""Positions of untied filters shared among processes; weights never move, outputs do.

Each process of the mesh's dimension `tensor_parallel` keeps the filters of positions that follow
each other, and computes those alone. What goes over the wire: outputs, gathered from all, and
images and their gradients, summed over all. Processes along `data_parallel`, if any, have other
batches and the same weights, whose gradients are averaged.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

from lit_intriguing.errors import UserError
from lit_intriguing.models.quocnet.untied import Part, filtered, spread

POSITIONS = "tensor_parallel"
"""The dimension of the mesh along which positions are shared; Lightning's name."""
DATA = "data_parallel"
"""That along which batches differ."""


def shard_positions(module: nn.Module, mesh: DeviceMesh) -> None:
    """Share the positions of a layer's weight `(L, maps, taps)` among processes, in place.

    All processes call it with the same weight: that of the first counts.

    Args:
        module: Has the parameter `weight`.
        mesh: With a dimension `tensor_parallel`, and perhaps `data_parallel`.

    Raises:
        UserError: If there are more processes than positions.
    """
    weight = module.weight
    assert isinstance(weight, Tensor)
    if isinstance(weight, DTensor):
        return
    processes = mesh[POSITIONS].size()
    if processes > len(weight):
        raise UserError(
            f"{processes} processes are to share {len(weight)} positions: use at most "
            f"{len(weight)} (tensor_parallel_size), and the rest for data (data_parallel_size)"
        )
    names = mesh.mesh_dim_names or ()
    placements = [Shard(0) if name == POSITIONS else Replicate() for name in names]
    module.weight = nn.Parameter(distribute_tensor(weight.detach(), mesh, placements))


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
    line = mesh[POSITIONS]
    each = -(-len(part.positions) // line.size())  # as torch.chunk parts them
    first = min(each * line.get_local_rank(), len(part.positions))
    own = weight.to_local()
    if DATA in (mesh.mesh_dim_names or ()) and mesh[DATA].size() > 1 and own.requires_grad:
        group = mesh[DATA].get_group()
        own.register_hook(lambda gradient: _mean(gradient, group))  # type: ignore[no-untyped-call]
    return own, Part(part.positions, first, part.memory)


def _mean(gradient: Tensor, group: dist.ProcessGroup) -> Tensor:
    total = gradient.clone()
    dist.all_reduce(total, group=group)
    return total / dist.get_world_size(group)


def _stride(shape: torch.Size) -> tuple[int, ...]:
    return (shape[1] * shape[2], shape[2], 1)
