"""The options of `lightning attack`, with their defaults: the only list of them."""

from pathlib import Path
from typing import Literal

from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from lit_intriguing.attacks import Attack, Goal, RandomTargets
from lit_intriguing.attacks.attack_tensors import CHUNK
from lit_intriguing.commands.attack.job import AttackJob, Pictures, chosen_attack
from lit_intriguing.commands.attack.summary import Summary
from lit_intriguing.types import Bounds


class AttackTrainer(Trainer):
    """A Trainer with the method `attack`, whose parameters are the command's options."""

    def attack(
        self,
        model: LightningModule,
        datamodule: LightningDataModule | None = None,
        attack: Attack | None = None,
        goal: Goal | None = None,
        bounds: Bounds | None = None,
        layer: str = "",
        split: Literal["train", "validation", "test"] = "test",
        limit: int | None = None,
        only_correct: bool = True,
        survives: int | None = None,
        chunk: int = CHUNK,
        output: str = "attack",
        format: Literal["pt", "npz"] = "pt",
        png: bool = False,
        show: int | None = None,
        difference: bool | None = None,
        class_names: str | None = None,
        watch: int = 0,
        paper_distortion: float | None = None,
        seed: int = 0,
        ckpt_path: str | None = None,
        weights_only: bool | None = None,
    ) -> Summary:
        """Attack each image of a split, save the examples, and report how it went.

        The examples do not depend on the number of processes or on the data's batch size. Run
        again, the same command goes on after the last finished chunk; once it is done, the same
        command with other options of the pictures draws these anew.

        Args:
            model: Whose `forward` gives logits (N, C).
            datamodule: Gives batches (images, labels); where null, the model does.
            attack: The search: the class path of an attack (null: BoxLBFGS).
            goal: What it is to reach (null: RandomTargets, the paper's).
            bounds: Of what is attacked, lower and upper (null: [0, 1] for images, none for layers).
            layer: Name of the submodule whose output is attacked; empty for the images.
            split: Which images, in the data set's own order.
            limit: Take no more images than that.
            only_correct: Leave images alone that the model misclassifies anyway.
            survives: Make examples that are still adversarial when they are rounded to so many
                bits, as 8 in a PNG file (null: no rounding).
            chunk: Images attacked, and written, at once; fewer need less memory.
            output: Folder for examples, summary and figure.
            format: Of the examples.
            png: Save each adversarial image as a PNG file, in the folder `adversarial`.
            show: Images in the figure, chosen at random (null: 40, of photographs 12; 0: none).
            difference: Draw the difference too, magnified (null: of photographs).
            class_names: File of the classes' names, or `imagenet` (null: those of the data, else
                numbers).
            watch: Follow so many images of the first chunk through the attack: loss, distortion and
                success at each call of the model, in `watch.csv` and `watch.png`.
            paper_distortion: A mean distortion to write beside that measured.
            seed: Of targets, attack, and the images in the figure.
            ckpt_path: The weights: a checkpoint of `lightning fit`.
            weights_only: Whether the checkpoint may hold tensors and plain values only.

        Returns:
            The summary, which is printed as well.

        Raises:
            UserError: Something of this does not fit together; the message says what to do.
        """
        # Here, so that callbacks and data of its own are not offered in every `--help`.
        from lit_intriguing.commands.attack.command import attack_split

        job = AttackJob(
            attack=chosen_attack(attack, survives, layer),
            goal=goal or RandomTargets(),
            bounds=bounds,
            layer=layer,
            split=split,
            limit=limit,
            only_correct=only_correct,
            chunk=chunk,
            output=Path(output),
            format=format,
            seed=seed,
            watch=watch,
            pictures=Pictures(
                show=show,
                difference=difference,
                class_names=class_names,
                png=png,
                paper_distortion=paper_distortion,
            ),
        )
        return attack_split(self, model, datamodule, job, ckpt_path, weights_only)
