"""The options of `lightning evaluate`, with their defaults: the only list of them."""

from pathlib import Path
from typing import Literal

from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from lit_intriguing.attacks import Attack
from lit_intriguing.attacks.attack_tensors import CHUNK
from lit_intriguing.commands.evaluate.job import EvaluateJob
from lit_intriguing.errors import UserError
from lit_intriguing.robustness.plan import usual_attacks
from lit_intriguing.robustness.sizes import checked_sizes
from lit_intriguing.types import Bounds


class EvaluateTrainer(Trainer):
    """A Trainer with the method `evaluate`, whose parameters are the command's options."""

    def evaluate(
        self,
        model: LightningModule,
        datamodule: LightningDataModule | None = None,
        attacks: dict[str, Attack] | None = None,
        sizes: dict[str, list[float]] | None = None,
        bounds: Bounds | None = None,
        shared: bool = True,
        certify: bool | None = None,
        split: Literal["train", "validation", "test"] = "test",
        limit: int | None = None,
        chunk: int = CHUNK,
        sanity: int = 100,
        output: str = "evaluate",
        seed: int = 0,
        ckpt_path: str | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, float]:
        """Measure errors under attacks at a list of sizes, beside what bounds certify.

        The results do not depend on the number of processes or on the data's batch size. Run again,
        the same command goes on after the last finished chunk.

        Args:
            model: Whose `forward` gives logits (N, C).
            datamodule: Gives batches (images, labels); where null, the model does.
            attacks: Attacks by name, each with the class path of an attack, in the order in which
                they run (null: BoxLBFGS, and PGD where sizes of linf are given). One that searches
                for the nearest example runs once, one in a ball at each size.
            sizes: Increasing sizes of the perturbation by norm, l2 and linf, in the units of the
                images (null: l2 at 0.5, 1.0 and 1.5, which suit MNIST).
            bounds: The box of the images, lower and upper (null: [0, 1]).
            shared: An attack in a ball leaves out images that an attack before it has fooled within
                its size; else each runs on all that are read rightly, and has an error of its own.
            certify: Certify images by Lipschitz bounds; null: where that is quick, in stacks of
                dense layers.
            split: Which images, in the data set's own order.
            limit: Take no more images than that.
            chunk: Images attacked, and written, at once; fewer need less memory.
            sanity: Look at so many of the first images, in the first chunk, for signs that attacks
                that fail say nothing about the model, such as gradients that are zero; 0 for none.
            output: Folder for results, tables and figure.
            seed: Of the attacks.
            ckpt_path: The weights: a checkpoint of `lightning fit`.
            weights_only: Whether the checkpoint may hold tensors and plain values only.

        Returns:
            The errors by name, which are printed as a table as well.

        Raises:
            UserError: Something of this does not fit together; the message says what to do.
        """
        # Here, so that callbacks and data of its own are not offered in every `--help`.
        from lit_intriguing.commands.evaluate.command import evaluate_split

        try:
            wanted = checked_sizes(sizes)
            job = EvaluateJob(
                attacks=usual_attacks(wanted) if attacks is None else attacks,
                sizes=wanted,
                bounds=bounds or Bounds(),
                shared=shared,
                certify=certify,
                split=split,
                limit=limit,
                chunk=chunk,
                sanity=sanity,
                output=Path(output),
                seed=seed,
            )
            job.runs()
        except ValueError as error:
            raise UserError(str(error)) from error
        return evaluate_split(self, model, datamodule, job, ckpt_path, weights_only)
