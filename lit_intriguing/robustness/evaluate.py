"""Runs attacks at all sizes on the examples of two tensors, without files or Lightning."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lit_intriguing.attacks import Attack, TrueLabels
from lit_intriguing.attacks.attack_tensors import CHUNK, attack_chunk
from lit_intriguing.attacks.examples import Examples, blank, joined
from lit_intriguing.checks import check_whole
from lit_intriguing.isolation import chunk_randomness
from lit_intriguing.metrics.robustness import within
from lit_intriguing.robustness.certified import Certificate
from lit_intriguing.robustness.evaluation import Evaluation, Trial
from lit_intriguing.robustness.plan import Planned, plan, usual_attacks
from lit_intriguing.robustness.sizes import NORMS, checked_sizes, lengths
from lit_intriguing.types import Bounds


def evaluate_tensors(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    attacks: Mapping[str, Attack] | None = None,
    sizes: Mapping[str, Sequence[float]] | None = None,
    bounds: Bounds | None = None,
    shared: bool = True,
    certificate: Certificate | None = None,
    seed: int = 0,
    chunk: int = CHUNK,
    progress: bool = False,
) -> Evaluation:
    """Measure errors under attack; `lightning evaluate` gives the same for a split.

    Args:
        model: Maps images to logits `(N, C)`; put into evaluation mode meanwhile.
        images: `(N, *S)`, N at least 1, on the model's device.
        labels: True labels, int `(N,)`.
        attacks: By name, in their order; None for `usual_attacks`.
        sizes: Increasing, by norm (`l2`, `linf`), in the units of the images; None for `SIZES`.
        bounds: The box of the images; None for [0, 1].
        shared: Whether an attack in a ball leaves out what any attack before it has fooled within
            its size. Its own error is then that of the attacks up to it. Else each runs at each
            size on all images that are read rightly.
        certificate: Of the model; None for no certified errors.
        seed: Of the attacks. Each has the same random numbers whatever stands before it.
        chunk: Images at once; each chunk has random numbers of its own.
        progress: Show a bar on standard error.

    Returns:
        What was found, on the CPU.

    Raises:
        ValueError: No images, sizes or attacks that do not fit, labels that are no classes.
        UserError: The model returns no logits.
    """
    check_whole("evaluate_tensors", 0, seed=seed)
    check_whole("evaluate_tensors", 1, chunk=chunk)
    if len(images) == 0:
        raise ValueError("nothing to evaluate: 0 examples.")
    wanted, box = checked_sizes(sizes), bounds or Bounds()
    runs = plan(usual_attacks(wanted) if attacks is None else attacks, wanted, box)
    starts = range(0, len(images), chunk)
    parts = []
    for index, start in enumerate(tqdm(starts, "Evaluate", disable=not progress, unit="chunk")):
        part = slice(start, start + chunk)
        parts.append(
            evaluate_chunk(
                model, runs, images[part], labels[part],
                bounds=box, shared=shared, certificate=certificate, seed=seed, index=index,
            ).columns()
        )  # fmt: skip
    return Evaluation.of(joined(parts, len(images)), runs)


def evaluate_chunk(
    model: nn.Module,
    runs: Sequence[Planned],
    images: Tensor,
    labels: Tensor,
    *,
    bounds: Bounds,
    shared: bool = True,
    certificate: Certificate | None = None,
    seed: int = 0,
    index: int = 0,
) -> Evaluation:
    """Evaluate the chunk of number `index` by the `runs` of `plan`.

    Other arguments and errors are those of `evaluate_tensors`.
    """
    labels = labels.long()
    every = torch.arange(len(images), device=images.device)
    trials: list[Trial] = []
    found = Evaluation(labels, labels, trials, {})
    for run in runs:
        tried = every if not trials else _left(found, run, shared).nonzero().squeeze(1)
        if not len(tried):
            trials.append(_nothing(run, labels))
            continue
        with chunk_randomness(seed, index) as generator:
            made = attack_chunk(
                model, run.attack, images[tried], labels[tried], generator,
                goal=TrueLabels(), bounds=bounds,
            )  # fmt: skip
        if not trials:
            found = Evaluation(labels, made.predictions, trials, {})
        trials.append(_trial(run, made, tried, labels))
    certified = {} if certificate is None else certificate.distances(images, labels)
    return Evaluation(labels, found.predictions, trials, certified)


def _left(found: Evaluation, run: Planned, shared: bool) -> Tensor:
    """Return which examples a run is for, bool `(N,)`."""
    left = ~found.wrong
    if run.norm is None or run.size is None or not shared:
        return left
    at = torch.tensor([run.size], dtype=torch.float64)
    return left & ~within(found.nearest(run.norm), at).squeeze(1)


def _trial(run: Planned, made: Examples, tried: Tensor, labels: Tensor) -> Trial:
    def spread(values: Tensor) -> Tensor:
        whole = blank(len(labels), values)
        whole[tried] = values
        return whole

    away = made.adversarial.double() - made.clean.double()
    distances = {norm: torch.where(made.attacked, lengths(away, norm), torch.nan) for norm in NORMS}
    queries = torch.zeros_like(labels)
    queries[tried] = made.queries.to(queries)
    return Trial(
        run.name, run.norm, run.size,
        tried=spread(made.attacked), fooled=spread(made.success),
        distances={norm: spread(one) for norm, one in distances.items()}, queries=queries,
    )  # fmt: skip


def _nothing(run: Planned, labels: Tensor) -> Trial:
    none = torch.zeros_like(labels)
    unknown = torch.full_like(labels, torch.nan, dtype=torch.float64)
    distances = dict.fromkeys(NORMS, unknown)
    return Trial(run.name, run.norm, run.size, none.bool(), none.bool(), distances, none)
