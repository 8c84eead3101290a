"""How it runs: a network's layers are bounded, then images certified."""

import sys
import time
from collections.abc import Iterable

from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from lit_intriguing.commands.lipschitz.certify import certify
from lit_intriguing.commands.lipschitz.job import BoundJob
from lit_intriguing.commands.lipschitz.model import shape_of_data
from lit_intriguing.commands.lipschitz.output import Result
from lit_intriguing.commands.lipschitz.progress import LayerProgress
from lit_intriguing.errors import UserError
from lit_intriguing.lipschitz.layer_bounds import NetworkNorm
from lit_intriguing.lipschitz.network import network_norm
from lit_intriguing.lipschitz.validation import validate
from lit_intriguing.spelling import did_you_mean


def bound(
    trainer: Trainer,
    model: LightningModule,
    datamodule: LightningDataModule | None,
    job: BoundJob,
) -> Result:
    """Bound a network and, where radii are asked for, certify images.

    Args:
        trainer: For the data.
        model: As `prepare` leaves it.
        datamodule: Gives the shape of an example, and images to certify; where None, the model
            does.
        job: What is asked for.

    Returns:
        The result.

    Raises:
        UserError: Something of this does not fit together; the message says what to do.
    """
    shape = job.input_shape or shape_of_data(trainer, model, datamodule, job.split)
    try:
        _list_unbounded(model, shape)
        start = time.process_time()
        with LayerProgress(model, job.method) as progress:
            network = network_norm(model, shape, method=job.method, layer_norm=progress.norm)
    except ValueError as error:
        raise UserError(str(error)) from error
    seconds = time.process_time() - start
    _check_names(network, [*job.layers, *job.paper])
    layers = [one for one in network.layers if not job.layers or one.name in job.layers]
    certified, images = certify(trainer, model, datamodule, network, shape, job)
    return Result(network, layers, shape, seconds, job.paper, certified, images)


def _list_unbounded(model: LightningModule, shape: tuple[int, ...]) -> None:
    """Say which layers will make the bound infinite, before the work on the others."""
    found = validate(model, shape)
    if found:
        lines = "".join(f"\n  {one}" for one in found)
        print(f"These have no bound, so the network has none:{lines}", file=sys.stderr, flush=True)


def _check_names(network: NetworkNorm, names: Iterable[str]) -> None:
    known = [one.name for one in network.layers]
    for name in names:
        if name not in known:
            raise UserError(
                f"no layer '{name}' with a constant other than 1.{did_you_mean(name, known)} There "
                f"are: {', '.join(known)}."
            )
