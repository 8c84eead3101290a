"""The texts of `lightning --help` and `lightning SUBCOMMAND --help`."""

import textwrap
from collections.abc import Iterable, Sequence

from lit_intriguing.cli.help.documented import Option, of_command
from lit_intriguing.cli.help.recipes import recipes
from lit_intriguing.cli.subcommands import STUDIES, SUBCOMMANDS, TRAINER_SUBCOMMANDS

WIDTH = 100
LEFT = 26
"""Columns of an option with what it takes."""

OF_THE_RUN = (
    Option("ckpt_path", "FILE", "weights: a checkpoint, or the name of shipped ones"),
    Option("weights_only", "true|false", "whether it may hold only tensors and plain values"),
)
OF_FIT = (
    Option("test_after_fit", "true|false", "measure the weights once on the test set afterwards"),
    Option("threads", "INT", "threads on the CPU; small networks run best on one"),
    Option("paper", "TEXT", "the paper's number, for the last line"),
    Option("ckpt_path", "FILE", "go on from this checkpoint; newest: from the run's newest"),
)
OUTPUT = ("output", "out_dir", "file", "format", "title", "show", "watch", "paper", "paper_values",
          "interval", "reference", "reference_label", "models_dir")  # fmt: skip
"""Options of what comes out; the others of a command say what is done."""

EXAMPLES = {
    "fit": "lightning fit --config adv_digits --trainer.max_epochs 20",
    "validate": "lightning validate --config mine.yaml --ckpt_path last.ckpt",
    "test": "lightning test --config adv_mnist --ckpt_path adv_mnist",
    "predict": "lightning predict --config mine.yaml --ckpt_path last.ckpt",
    "attack": "lightning attack --config attack_mnist --ckpt_path adv_mnist --limit 100",
    "evaluate": "lightning evaluate --config robustness_mnist --ckpt_path adv_mnist --limit 100",
    "lipschitz": "lightning lipschitz --config adv_mnist --ckpt_path adv_mnist",
    "units": "lightning units --config adv_mnist --ckpt_path adv_mnist --layers '[hidden1]'",
    "ablate": "lightning ablate --config adv_digits_ablation",
    "transfer": "lightning transfer --config table2_digits",
    "probe": "lightning probe --config probe_digits",
    "dashboard": "lightning dashboard --recipe adv_digits --file dashboard.json",
    "report": "lightning report .",
    "reproduce": "lightning reproduce --quick",
}
"""A command for each subcommand, which works as it stands; `mine.yaml` is the user's own."""

_SHARED = (
    ("-c, --config FILE", "YAML, on disk or shipped; later files and options win"),
    ("--set ADDRESS=VALUE ...", "one option of any callback or layer: Timer.interval=step"),
)
_OF_A_RUN = (
    ("--model CLASS", "its options are --model.KEY; --model.help CLASS lists them"),
    ("--data CLASS", "its options are --data.KEY; --data.help CLASS lists them"),
    ("--trainer.KEY VALUE", "Lightning's Trainer: max_epochs, devices, callbacks, logger, ..."),
    ("--seed_everything INT", "of all random numbers"),
    ("--print_config", "show the merged configuration and exit"),
)


def overview() -> str:
    """Return the help text of the whole command."""
    options = [
        ("--config FILE", "YAML; may be given several times, later files win. A file that is not "
         "on disk is looked for among the recipes and configs shipped."),
        ("--version", "show the version and exit"),
        ("--help", "show this text; `lightning SUBCOMMAND --help` lists a subcommand's options"),
    ]  # fmt: skip
    lines = [
        "usage: lightning SUBCOMMAND [--config FILE ...] [--KEY=VALUE ...]",
        "",
        "Intriguing properties of neural networks, from the command line.",
        "",
        "subcommands:",
        *_rows(SUBCOMMANDS.items(), 11),
        "",
        "options:",
        *_rows(options, 15),
        "",
        "recipes, by the subcommand that they are for (lightning fit --config adv_digits):",
    ]
    for subcommand, found in recipes().items():
        lines += [f"  {subcommand}", *_rows(found, 27, indent=4)]
    return "\n".join(lines)


def of_subcommand(name: str) -> str:
    """Return the help text of a subcommand: our options by group, and an example.

    Args:
        name: Of the subcommand.
    """
    documented = of_command(name)
    options = documented.options if documented else OF_FIT if name == "fit" else OF_THE_RUN
    asked = [one for one in options if one.name not in OUTPUT]
    result = [one for one in options if one.name in OUTPUT]
    run = () if name in STUDIES else _OF_A_RUN
    groups = [
        ("what it works on", [*_SHARED[:1], *run, *_SHARED[1:]]),
        (f"options of {name}", [_row(one) for one in asked]),
        ("what comes out", [_row(one) for one in result]),
    ]
    summary = documented.summary if documented else _sentence(SUBCOMMANDS[name])
    lines = [f"usage: lightning {name} --config FILE [--KEY VALUE ...]", "", summary]
    for heading, rows in groups:
        if rows:
            lines += ["", f"{heading}:", *_rows(rows, LEFT, lines=2)]
    return "\n".join([*lines, "", *_ending(name)])


def _ending(name: str) -> list[str]:
    return [
        "example:",
        f"  {EXAMPLES[name]}",
        "",
        f"All options, with Lightning's own and defaults: lightning {name} --help.all"
        if name in TRAINER_SUBCOMMANDS
        else f"All options in full, with defaults: lightning {name} --help.all",
    ]


def _row(option: Option) -> tuple[str, str]:
    return f"--{option.name} {option.kind}", option.text


def _rows(
    rows: Iterable[Sequence[str]], left: int, indent: int = 2, lines: int | None = None
) -> list[str]:
    """Set two columns, the right one wrapped."""
    result = []
    for first, text in rows:
        pad = " " * indent
        wrapped = textwrap.wrap(
            text, WIDTH - indent - left - 1, max_lines=lines, placeholder=" ..."
        ) or [""]
        if len(first) > left:
            result.append(pad + first)
            first = ""
        result.append(f"{pad}{first:<{left}} {wrapped[0]}".rstrip())
        result += [f"{pad}{'':<{left}} {line}" for line in wrapped[1:]]
    return result


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
