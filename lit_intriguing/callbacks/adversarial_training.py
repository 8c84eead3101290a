"""Adversarial training of any LightningModule, without a change to its code."""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import nn
from typing_extensions import override

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.callbacks.run_progress import total_batches
from lit_intriguing.checks import check_flags, check_whole
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import BatchKeys, Place
from lit_intriguing.hosts.logits import Output
from lit_intriguing.hosts.monitored import (
    mean_over_processes,
    tell_monitors,
    validates_within_fit,
)
from lit_intriguing.hosts.per_rank_state import gather_ranks, state_of_this_rank
from lit_intriguing.hosts.training_step import AroundTrainingStep, Step, logs_now
from lit_intriguing.pools import PerturbedLayer
from lit_intriguing.pools.choice import MixingOptions
from lit_intriguing.pools.dealing import deal
from lit_intriguing.pools.examiner import known_model
from lit_intriguing.pools.layer_pools import LayerPools
from lit_intriguing.pools.measures import Measures
from lit_intriguing.pools.mixing import Mixing
from lit_intriguing.pools.processes import all_processes, warn_of_batch_norm
from lit_intriguing.private.of_lightning import skips_backward
from lit_intriguing.schemes import Scheme
from lit_intriguing.splice import is_compiled, submodule

if TYPE_CHECKING:
    from lit_intriguing.pools.fresh_batches import FreshBatches


@checked_arguments
class AdversarialTraining(AroundTrainingStep):
    """Adversarial training: examples of the input and of hidden layers join every training step.

    Szegedy et al. 2013, section 4.2: a separate pool of adversarial examples for each layer, a
    random part of which is continuously replaced by newly generated ones, is mixed into the
    training set all the time; examples of a layer's output train the layers above it.

    With class labels and logits examples aim at another class, else at a larger value of the loss
    that `training_step` returns, whatever it computes (`HostLoss`). Rows are whole: what a batch
    has for an example (masks, boxes, names) stays with it. A batch may be a tensor, a list, a
    tuple, a named tuple, a mapping or a dataclass, and these nested.

    Examples join the host's own batch where each row is computed alone and the loss is a mean or a
    sum over the rows. The host's loss and training metrics then count them. Elsewhere they get a
    call of `training_step` of their own, muted and without a trace in the module, and BatchNorm's
    running statistics are those of the clean batch (`keep_out`). Which goal and which way, is found
    at the first batch by calling the step aside with one thing changed at a time; joining is tried
    again at step 1 and at the powers of 8. The choice and the reason are in the log. Code of
    the step with effects outside the module sees these calls. Steps in manual optimisation cannot
    be tried: there examples join.

    A step follows `(clean + sum_l w_l loss_l) / (1 + sum_l w_l)`, where `clean` and `loss_l` are
    the host's losses on the clean examples and on those of layer l. Where examples join, these are
    mean losses, and with a host loss that sums over examples the step is that times the number of
    examples: each one's gradient is weighted where it leaves the logits, or the output. Terms that
    do not pass through the output, such as a decay, are then not weighted, and neither is the value
    of the loss that the host returns and logs.

    Toward classes, examples are made in evaluation mode (dropout off, BatchNorm's statistics
    unchanged). `HostLoss` follows the gradient of training mode; that of one gradient step is the
    one which the host's backward pass leaves, and the examples are used from the next step on.
    Examples are used in training mode, where BatchNorm has clean and joined ones in one batch.

    Logs, for each layer (`adversarial/input/...` or `adversarial/<layer>/...`): `distortion` (mean
    root mean square change of those new examples that were changed, in the layer's units) and `age`
    (mean steps since the pool's examples were made); toward classes `success` (fraction of new
    examples that reach their goal) and `loss` (mean cross-entropy of the pool examples of this
    step); with `HostLoss` `loss_clean` and `loss` (the host's, on new examples before and after,
    dropout and BatchNorm as in evaluation mode) and `without_gradient` (fraction of rows that the
    pool did not take, since their gradient is zero or not finite); with classes `error` (fraction
    misclassified, of the pool examples of this step); and `adversarial/generating`, the share of
    the step's time spent on making examples. They are measured about once in
    `trainer.log_every_n_steps` steps, on each process's own examples. At the end of each epoch, and
    when a validation of the fit begins, the means over the processes are in
    `trainer.callback_metrics`, for `ModelCheckpoint` and `EarlyStopping`. A pass without backward,
    as that of `StochasticWeightAveraging` for the statistics of BatchNorm, is the host's alone:
    nothing is made, joined or counted.

    A new run begins with empty pools. A run that is continued, from a checkpoint or by another
    `fit` of the same Trainer, continues with its pools. If the number of processes is not that of
    the checkpoint, their examples are dealt out anew, with a warning.

    Args:
        layers: How each layer is attacked and how its examples join, by the submodule's name; `""`
            is the input. None leaves a layer out, as `--set AdversarialTraining.layers.NAME=null`
            does to one of a recipe's.
        alternate: Whether layers take turns, one a step, instead of joining all in each step.
        start_step: Steps before which nothing is generated or joined. A search for minimal examples
            takes long on a network that has learnt nothing yet, and finds little.
        keep_out: Whether pool examples stay out of the host's batch; None to choose, see above.
            Kept out, each layer's get a muted call of the host's `training_step`, or a forward of
            the model with `loss`, and all terms of the host's loss count in the formula above. For
            automatic optimisation only. False has them join also where the loss is no mean over
            rows, such as with class weights; rows that the step mixes are refused.
        loss: Loss of logits `(N, C)` and labels int64 `(N,)` for `keep_out=True`, in place of the
            host's own. One logit for each example counts as two, the first of them 0. Where
            `inputs` or `labels` make a new tensor, the default is the mean cross-entropy.
        model: Name of the submodule that maps inputs to logits; the default is the LightningModule
            if it defines `forward`. Its logits in the training step are found automatically.
        output: Where that submodule's output holds the logits, if it is more than a tensor: key,
            index, attribute, a path of these (`decoder.logits`), or a function of the output. By
            default what is named `logits`, or the only tensor that can be them.
        inputs: Key, field or position of the inputs in a batch, a path of these (`d.0`), or a
            function of the batch; found if there is no doubt.
        labels: Where the labels are, if there are any, likewise: integers of any type, or true and
            false. Those that are no class of the model, such as -1 with a loss's `ignore_index`,
            count as no label.
        seed: Seed of the callback's own random numbers, to which each rank adds its number unless
            pools are global; None for torch's initial seed, which `seed_everything` sets.
        global_pools: Whether all processes share the pools, which then train as one process would
            with all their rows in a batch; `pool`, `mix` and `refresh` are those of all processes
            together. New examples are gathered by all, and each process trains on its part of those
            that are drawn. A checkpoint continues with any number of processes. Where BatchNorm,
            dropout or an attack draws or measures on each process alone, the number of processes
            still counts. Rows must be tensors of one shape in all batches: no lists, and no token
            ids that are padded batch by batch. A loss that is a sum, not a mean over rows, is
            averaged over the processes, as `ddp` does.
        save_pools: Whether checkpoints hold the pools. Those of all processes are gathered by the
            first one, which needs the memory, unless they are global. Without them a resumed run
            fills its pools anew.
        scheme: A published way of training (`lit_intriguing.schemes`), in place of pools: in each
            step the attack makes an example of each input, and the scheme says what is trained on.
            For the input alone, `layers={"": PerturbedLayer(attack, goal, bounds)}`.

    Raises:
        ValueError: For options that make no sense.
        UserError: When training starts or at its first step: for an unknown layer, inputs outside
            the bounds, a goal of classes where there are none, a model without gradients, and the
            like.
    """

    example_arguments: ClassVar[dict[str, str]] = {
        "layers": '{"": PerturbedLayer(GradientAttack(eps=1.0))}, where "" is the input'
    }
    pools: LayerPools
    measures: Measures

    def __init__(
        self,
        layers: Mapping[str, PerturbedLayer | None],
        alternate: bool = False,
        start_step: int = 0,
        keep_out: bool | None = None,
        loss: nn.Module | None = None,
        model: str | None = None,
        output: Output | None = None,
        inputs: Place | None = None,
        labels: Place | None = None,
        seed: int | None = None,
        global_pools: bool = False,
        save_pools: bool = True,
        scheme: Scheme | None = None,
    ) -> None:
        super().__init__()
        attacked = {name: plan for name, plan in layers.items() if plan is not None}
        check_whole("AdversarialTraining", 0, start_step=start_step)
        flags = {"global_pools": global_pools, "save_pools": save_pools}
        check_flags("AdversarialTraining", alternate=alternate, **flags)
        if keep_out and any(plan.at_layer for plan in attacked.values()):
            raise ValueError("keep_out=True needs examples that join at the input: at_layer=False.")
        if loss is not None and not keep_out:
            raise ValueError("loss is for keep_out=True; else the host's own loss is used.")
        if scheme is not None:
            if keep_out is not None:
                raise ValueError("With a scheme nothing joins the batch: leave keep_out out.")
            if global_pools:
                raise ValueError("With a scheme there are no pools: leave global_pools out.")
            from lit_intriguing.pools.fresh_batches import check_scheme

            check_scheme(scheme, attacked)
        self.seed, self.global_pools, self.save_pools = seed, global_pools, save_pools
        keys = BatchKeys(inputs, labels)
        self._left_out = layers.keys() - attacked.keys()
        self._options = MixingOptions(keep_out, loss, model, output, keys, scheme)
        self._new_pools = functools.partial(
            LayerPools, attacked, alternate=alternate, start_step=start_step
        )
        self._reset()
        self._mixing: Mixing | FreshBatches | None = None
        self._started = False
        self._asked: tuple[Any, ...] = ()

    @property
    def state_key(self) -> str:
        """The key of this callback's state in a checkpoint: the same for all layers.

        Lightning refuses two callbacks of one key, which would nest.
        """
        return "AdversarialTraining"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Wrap the strategy's training step, before finders of Lightning search in their own."""
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self.wrap(trainer, pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the layers.

        Raises:
            UnknownLayerError: For an unknown layer.
            UserError: If the model that gives logits is not known, or cannot be used.
        """
        self._start(trainer, pl_module)

    def _start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._options.keep_out and not pl_module.automatic_optimization:
            raise UserError("keep_out=True needs automatic optimisation: leave it out.")
        scheme = self._options.scheme
        if scheme is not None and scheme.adds and not pl_module.automatic_optimization:
            raise UserError(
                f"scheme={type(scheme).__name__}() adds to the loss that training_step returns, "
                "which needs automatic optimisation; ExamplesAlone() does not."
            )
        self.remove_hooks()
        if self.is_new_run(trainer):
            self._reset()
        known_model(pl_module, self._options, self.pools.as_given())
        for name in self.pools.layers:
            submodule(pl_module, name)
        self._warn_of_strangers(pl_module)
        # Hooks cost time even when idle, but a compiled module must have them from the first call.
        if self._mixing is None and (self.pools.active() or is_compiled(pl_module)):
            self._install(trainer, pl_module)
        if self.global_pools:
            least = min(min(plan.mix, plan.refresh) for plan in self.pools.as_given().values())
            self.pools.processes = all_processes(trainer, least)
            warn_of_batch_norm(pl_module)
        if self.pools.step == 0:
            self._seed(trainer)
        self._started = True

    def _warn_of_strangers(self, module: LightningModule) -> None:
        """Say which layers are left out that are not there: the name may be misspelt."""
        strangers = self._left_out - {name for name, _ in module.named_modules()}
        if strangers:
            rank_zero_warn(
                f"AdversarialTraining leaves out {', '.join(map(repr, sorted(strangers)))}, which "
                "the model does not have: if another layer was meant, it is attacked."
            )

    def _seed(self, trainer: Trainer) -> None:
        seed = torch.initial_seed() if self.seed is None else self.seed
        seed = trainer.strategy.broadcast(seed) if self.global_pools else seed + trainer.global_rank
        self.pools.generator.manual_seed(seed % 2**63)

    def _install(self, trainer: Trainer, pl_module: LightningModule) -> None:
        way: type[Mixing | FreshBatches] = Mixing
        if self._options.scheme is not None:
            from lit_intriguing.pools.free_batches import way_of

            way = way_of(self._options.scheme)
        self._mixing = way(trainer, pl_module, self.pools, self.measures, self._options)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load the state of a checkpoint, now that the device is known.

        Raises:
            UserError: If lengths are to be annealed over a run that has no end.
        """
        self._load_restored(trainer, pl_module)
        if self.pools.anneals:
            self._follow_the_run(trainer)

    def _load_restored(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._restored is not None:
            state = self._state_in(self._restored, trainer)
            self.pools.load_state_dict(state, pl_module.device)
            self._restored = None

    def _state_in(self, states: Mapping[str, Any], trainer: Trainer) -> Any:
        sizes = {name: plan.pool for name, plan in self.pools.layers.items()}
        dealt = functools.partial(deal, sizes=sizes)
        if not self.global_pools:
            return state_of_this_rank(states, trainer, "pools", dealt)
        if len(states) == 1:
            return states["0"]
        rank_zero_warn(
            f"The checkpoint holds the pools of {len(states)} processes and this run has global "
            "pools: training goes on from the examples of all, as many as these have room for."
        )
        return dealt([states[str(k)] for k in range(len(states))], 0, 1)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start the step's clock."""
        if self.pools.active():
            self.measures.start_step(pl_module.device)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Remove the step's hooks, log, and count the step."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if skips_backward(trainer):
            return
        # A step that returns nothing, or optimises by hand, may do without a backward pass.
        self._end_step(backward=bool(outputs) and pl_module.automatic_optimization)
        self.measures.end_step(pl_module.device)
        if logs_now(trainer):
            self._measure_ages()
            values = self.measures.report()
            if values:
                pl_module.log_dict(values, on_step=True, on_epoch=False)
        self.pools.step += 1

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell callbacks that monitor a value at the validation's end."""
        if validates_within_fit(trainer):
            self._tell_monitors(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell callbacks that monitor a value at the epoch's end."""
        self._tell_monitors(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return the pools of all ranks, if they are saved, and what else a resumed run needs."""
        state = self.pools.state_dict()
        if not self.save_pools:
            state["pools"] = None
        return {"0": state} if self.global_pools else gather_ranks(state)

    @override
    def around_step(
        self, trainer: Trainer, pl_module: LightningModule, inner: Step, batch: Any, *args: Any
    ) -> Any:
        if skips_backward(trainer):
            return inner(batch, *args)
        if not self._started:
            self._start(trainer, pl_module)
        self._between_steps(trainer, pl_module, (batch, *args))
        if not self.pools.active():
            return inner(batch, *args)
        if self.pools.anneals:
            self._follow_the_run(trainer)
        if self._mixing is None:
            self._install(trainer, pl_module)
        assert self._mixing is not None
        # A closure may ask for the same batch again: it gets the same examples.
        if not self._mixing.in_step and not self._mixing.prepare(batch, args):
            return inner(batch, *args)
        self._asked = (batch, *args)
        return self._mixing.run(inner)

    def _follow_the_run(self, trainer: Trainer) -> None:
        batches = total_batches(trainer)
        if not batches:
            raise UserError(
                "AdversarialTraining: anneal_to needs a run with an end: set max_epochs, or "
                "max_steps where an epoch has no end."
            )
        # Not by the pools' step: this callback may join a run that was begun without it.
        begun = trainer.fit_loop.epoch_loop.total_batch_idx
        self.pools.progress = min(1.0, max(0, begun) / batches)

    def _between_steps(
        self, trainer: Trainer, pl_module: LightningModule, asked: tuple[Any, ...]
    ) -> None:
        """End a step whose end was not told: the finders of Lightning call no other callbacks."""
        in_step = self._mixing is not None and self._mixing.in_step
        if self._restored is None and not in_step:
            return
        # A closure asks for the very same batch again.
        same = bool(self._asked) and asked[0] is self._asked[0] and asked[1:] == self._asked[1:]
        if self._restored is None and same:
            return
        if in_step:
            self._end_step(backward=False)
            self.pools.step += 1
        self._load_restored(trainer, pl_module)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        """Keep no more gradients of this step."""
        if self._mixing is not None:
            self._mixing.before_optimizer_step()

    def _measure_ages(self) -> None:
        self.measures.ages({name: self.pools.age(name) for name in self._filled()})

    def _tell_monitors(self, trainer: Trainer) -> None:
        if self.pools.active():
            self._measure_ages()
            values = mean_over_processes(trainer, self.measures.at_epoch_end())
            tell_monitors(trainer, values)

    def _filled(self) -> list[str]:
        return [name for name, pool in self.pools.by_layer.items() if len(pool)]

    def _reset(self) -> None:
        """Begin a new run with empty pools."""
        self.pools = self._new_pools()
        self.measures = Measures(self.pools.layers, self.pools.round)

    def _end_step(self, backward: bool) -> None:
        self._asked = ()
        if self._mixing is not None:
            self._mixing.end_step(backward)

    @override
    def remove_hooks(self) -> None:
        if self._mixing is not None:
            self._mixing.remove()
        self._mixing = None
        self._asked, self._started = (), False
