"""Import paths of old: each raises one error that names the new path.

To move or fold a file, add a line to `NEW_PATHS`.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from lit_intriguing.errors import UsageError

PACKAGE = "lit_intriguing."

NEW_PATHS = {
    "attacking": "commands.attack",
    "attacking.attack_rows": "attacks.attack_tensors",
    "attacking.attack_run": "commands.attack.run",
    "attacking.chunk_loop": "splits.loop",
    "attacking.chunks": "splits.loader",
    "attacking.command": "commands.attack.command",
    "attacking.examples": "attacks.examples",
    "attacking.files": "commands.attack.output",
    "attacking.job": "commands.attack.job",
    "attacking.precision": "hosts.precision",
    "attacking.progress": "splits.progress",
    "attacking.randomness": "isolation",
    "attacking.row_sets": "attacks.example_sets",
    "attacking.settings": "splits.fingerprint",
    "attacking.split_data": "splits.split",
    "attacking.store": "splits.resumable_store",
    "attacking.summary": "commands.attack.summary",
    "attacks.adapters.borrowed": "attacks.adapters.base",
    "attacks.adapters.guard": "isolation",
    "attacks.adapters.shown": "attacks.adapters.stand_in",
    "attacks.margin": "attacks.problem",
    "bounding": "commands.lipschitz",
    "bounding.certify": "commands.lipschitz.certify",
    "bounding.command": "commands.lipschitz.command",
    "bounding.job": "commands.lipschitz.job",
    "bounding.progress": "commands.lipschitz.progress",
    "bounding.result": "commands.lipschitz.output",
    "bounding.subject": "commands.lipschitz.model",
    "callbacks.fixed_rows": "hosts.fixed_examples",
    "callbacks.on_fixed_rows": "callbacks.on_fixed_examples",
    "callbacks.rank_state": "hosts.per_rank_state",
    "callbacks.training_step": "hosts.training_step",
    "command": "cli",
    "command.arguments": "configuration.arguments",
    "command.class_paths": "configuration.class_paths",
    "command.closing_test": "cli.closing_test",
    "command.delegate": "cli.delegate",
    "command.diagnosis": "configuration.misspelt",
    "command.failed_download": "cli.messages",
    "command.interruption": "cli.messages",
    "command.options": "configuration.options",
    "command.parse_errors": "configuration.parse_errors",
    "command.program": "cli.program",
    "command.repeated_callback": "cli.messages",
    "command.saved_config": "cli.saved_config",
    "command.shipped": "configuration.shipped",
    "command.subcommands": "cli.subcommands",
    "data.row_access": "hosts.dataset_access",
    "figures.loggers": "loggers.destinations",
    "figures.logging": "loggers.destinations",
    "figures.tables": "tables",
    "lipschitz.following": "lipschitz.tracked",
    "lipschitz.graphs.watching": "lipschitz.graphs.layer_state",
    "lipschitz.layers.line": "lipschitz.layers.separable",
    "lipschitz.norms": "lipschitz.registry",
    "lipschitz.plain": "lipschitz.unwrapped",
    "lipschitz.rearranging": "lipschitz.layers.layout",
    "lipschitz.rounding": "solvers.spectral.rounding",
    "lipschitz.stacks": "lipschitz.dense",
    "lipschitz.stacks.dense_layers": "lipschitz.dense.layers",
    "lipschitz.stacks.dense_stack": "lipschitz.dense.stack",
    "lipschitz.stacks.slope_matrix": "lipschitz.dense.slope_matrix",
    "lipschitz.stacks.slope_search": "lipschitz.dense.slope_search",
    "mixing": "pools",
    "mixing.batch": "hosts.batch",
    "mixing.clock": "pools.step_clock",
    "mixing.generation": "pools.generation",
    "mixing.joining": "pools.joining",
    "mixing.layer": "pools.perturbed_layer",
    "mixing.logits": "hosts.logits",
    "mixing.measures": "pools.measures",
    "mixing.mixer": "pools.layer_pools",
    "mixing.weighting": "pools.weighting",
    "pool": "pools.pool",
    "solvers.best": "solvers.batch_state",
    "solvers.gram": "solvers.two_loop",
    "solvers.numbers": "solvers.batch_state",
    "solvers.pairs": "solvers.lbfgs_memory",
    "solvers.running": "solvers.search",
    "solvers.slots": "solvers.batch_state",
    "solvers.spectral.line": "solvers.spectral.padded_axis",
    "studies": "commands.ablate",
    "studies.ablation": "commands.ablate.options",
    "studies.checks": "commands.ablate.checks",
    "studies.command": "commands.ablate.command",
    "studies.executor": "commands.ablate.run",
    "studies.measure": "training_runs.measure",
    "studies.patches": "configuration.patches",
    "studies.plan": "commands.ablate.plan",
    "studies.probing": "commands.probe",
    "studies.probing.command": "commands.probe.command",
    "studies.probing.job": "commands.probe.job",
    "studies.probing.output": "commands.probe.output",
    "studies.probing.probe_run": "commands.probe.run",
    "studies.probing.rows": "commands.probe.probe_tensors",
    "studies.probing.study": "commands.probe.options",
    "studies.probing.table": "commands.probe.table",
    "studies.progress": "training_runs.progress",
    "studies.provenance": "training_runs.provenance",
    "studies.runs": "training_runs.store",
    "studies.summary": "commands.ablate.output",
    "studies.transfer": "commands.transfer",
    "studies.transfer.command": "commands.transfer.command",
    "studies.transfer.example_study": "model_sets.job",
    "studies.transfer.examples_run": "model_sets.run",
    "studies.transfer.job": "commands.transfer.job",
    "studies.transfer.loading": "model_sets.loading",
    "studies.transfer.output": "commands.transfer.output",
    "studies.transfer.pictures": "commands.transfer.pictures",
    "studies.transfer.rows": "commands.transfer.transfer_tensors",
    "studies.transfer.sources": "model_sets.sources",
    "studies.transfer.study": "commands.transfer.options",
    "studies.transfer.table": "commands.transfer.table",
    "studies.transfer.training": "model_sets.training",
    "studies.transfer.transfer_run": "commands.transfer.run",
    "studies.workers": "training_runs.workers",
}
"""Old module to new module, both without the package's name."""


class MovedError(UsageError, ImportError):
    """An import path of old; the message says what to import instead."""


class MovedModules:
    """A finder for the end of `sys.meta_path`, which is asked for what nobody else has found."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find nothing.

        Raises:
            MovedError: The module has moved.
        """
        if name.startswith(PACKAGE) and name.removeprefix(PACKAGE) in NEW_PATHS:
            refuse(_whole_import(name))
        return None


def refuse(path: str) -> None:
    """Raise for a path that begins with a module of old.

    Args:
        path: Of a module, or of a class or function in one.

    Raises:
        MovedError: The longest such module has moved.
    """
    parts = path.removeprefix(PACKAGE).split(".") if path.startswith(PACKAGE) else []
    for end in range(len(parts), 0, -1):
        old = ".".join(parts[:end])
        if old in NEW_PATHS:
            new = PACKAGE + NEW_PATHS[old]
            raise MovedError(f"{PACKAGE}{old} has moved: import {new} instead", name=PACKAGE + old)


def _whole_import(name: str) -> str:
    """Return the import that a package is part of: Python asks for `a` first where `a.b` is meant.

    Args:
        name: The package.

    Returns:
        The module that was asked for, as the frames of the import system have it; `name` where
        they do not say.
    """
    whole = name
    frame = sys._getframe(1).f_back  # who called `find_spec`
    while frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        asked = frame.f_locals.get("name")
        if isinstance(asked, str) and asked.startswith(f"{whole}."):
            whole = asked
        frame = frame.f_back
    return whole


def install() -> None:
    """Put the finder at the end of `sys.meta_path`, once."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(MovedModules())
