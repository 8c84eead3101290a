"""What is asked for: the options of `lightning reproduce`, and what is done with them."""

from dataclasses import dataclass
from pathlib import Path

from lit_intriguing.commands.report.options import Report
from lit_intriguing.commands.reproduce.run import ReproductionRun, Runner
from lit_intriguing.commands.reproduce.runners import OwnProcess, in_this_process
from lit_intriguing.configuration import shipped
from lit_intriguing.errors import UsageError, UserError
from lit_intriguing.paper.plan import FULL, QUICK, read_plan
from lit_intriguing.paper.records import FOLDER, Records
from lit_intriguing.whole_files import check_folder


@dataclass
class Reproduction:
    """Run the paper's recipes in order, resumably, and write the report.

    Run again, the same command goes on where it was stopped, and tries again what failed. A step
    that fails does not keep the others from running.

    Args:
        quick: On scikit-learn's digits in one process, in less than two minutes: without QuocNet,
            photographs and MNIST.
        output: Folder: one for each step, what each printed, and report.html.
        workers: Steps that run at a time, each in a process of its own; not with `--quick`.
        further: Also the studies that go beyond the paper's claims, tables and figures: 160
            minutes or more on one thread. The report names their commands either way.
    """

    quick: bool = False
    output: str = "reproduction"
    workers: int = 1
    further: bool = False

    def run(self, runner: Runner | None = None) -> None:
        """Run what is not done yet, and write the report.

        Args:
            runner: What runs a step (None: this process if quick, else one for each step).

        Raises:
            UsageError: The folder belongs to the other plan, or is a file, or `workers` is no
                number that can be, or `further` was asked for with `quick`.
            UserError: Steps failed (after everything else is done and written).
        """
        name, output = (QUICK if self.quick else FULL), Path(self.output)
        self._check_options()
        check_folder(output)
        self._check_plan(output, name)
        plan = read_plan(shipped.results(), name)
        if not self.further:
            plan = plan.of_the_paper()
        runner = runner or (in_this_process if self.quick else OwnProcess)
        failed = ReproductionRun(plan, output.resolve(), runner, self.workers).all_steps()
        Report(str(output)).run()
        if failed:
            lines = [f"{step.name}: {reason}\n    {line}" for step, line, reason in failed]
            raise UserError(
                f"{len(failed)} of {len(plan.steps)} steps failed:\n  " + "\n  ".join(lines) + "\n"
                f"What they printed is in {output / FOLDER}; the same command tries them again. "
                f"Their commands, for use in {output}, are above."
            )

    def _check_options(self) -> None:
        if self.workers < 1:
            raise UsageError(f"--workers must be at least 1, not {self.workers}.")
        if self.quick and self.workers > 1:
            raise UsageError("--quick runs in one process: leave out --workers.")
        if self.quick and self.further:
            raise UsageError("--quick has no further studies: leave out --further.")

    def _check_plan(self, output: Path, name: str) -> None:
        other = Records(output).plan()
        if other not in (None, name):
            raise UsageError(
                f"{output} holds a {other} reproduction: name another folder with --output, or "
                f"{'leave out' if other == FULL else 'add'} --quick to go on with that one."
            )
