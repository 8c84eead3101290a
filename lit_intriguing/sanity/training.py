"""Signs during adversarial training that its examples have lost their worth."""

import math


def label_leaking(clean_error: float, adversarial_error: float, examples: int) -> bool:
    """Return whether a model reads adversarial examples better than clean ones.

    One step along the gradient of the true label writes the label into the image, and the model
    learns to read it there (Kurakin et al. 2017, *Adversarial machine learning at scale*, section
    4.3). Train with random targets, several steps or a random start.

    Args:
        clean_error: Share of clean examples that are read wrongly.
        adversarial_error: Share of adversarial ones, of the same images.
        examples: Images of which these are shares. The difference has to exceed twice its standard
            error.

    Examples:
        >>> label_leaking(0.10, 0.02, 1000), label_leaking(0.10, 0.09, 1000)
        (True, False)
    """
    spread = clean_error * (1 - clean_error) + adversarial_error * (1 - adversarial_error)
    return clean_error - adversarial_error > 2 * math.sqrt(spread / max(examples, 1))


def catastrophic_overfitting(
    lowest_before: float, error: float, single_step_error: float, by: float = 0.2
) -> bool:
    """Return whether training has unlearnt robustness to all but its own single step.

    The error under an attack of many steps jumps up, while a single step of the same length hardly
    finds anything (Wong et al. 2020, *Fast is better than free*, section 5.1; Andriushchenko and
    Flammarion 2020). Use several steps, a random start with a smaller step, or an earlier
    checkpoint.

    Args:
        lowest_before: Lowest error under the attack of many steps so far in the run.
        error: That error now.
        single_step_error: Error under a single step of the same length now.
        by: How much the error has to rise, and to exceed that of the single step.

    Examples:
        >>> catastrophic_overfitting(0.5, 0.98, 0.2), catastrophic_overfitting(0.5, 0.55, 0.2)
        (True, False)
    """
    return error - lowest_before >= by and error - single_step_error >= by
