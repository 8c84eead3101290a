"""The plans: every place and claim has its steps, whose commands and folders fit together."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_intriguing.cli.subcommands import SUBCOMMANDS
from lit_intriguing.configuration import shipped
from lit_intriguing.configuration.merging import merged_files
from lit_intriguing.paper.claims import read_claims
from lit_intriguing.paper.plan import FULL, QUICK, Plan, Step, newest_file, read_plan

PLANS = {name: read_plan(shipped.results(), name) for name in (FULL, QUICK)}
STEPS = [(name, step) for name, plan in PLANS.items() for step in plan.steps]


def configuration(step: Step) -> dict[str, Any]:
    """The merged files that a step names; each of them is shipped."""
    files = [step.command[at + 1] for at, word in enumerate(step.command) if word == "--config"]
    assert files
    return dict(merged_files(files))


def option(step: Step, name: str) -> str | None:
    return dict(zip(step.command, step.command[1:], strict=False)).get(name)


@pytest.mark.parametrize("plan", PLANS.values(), ids=lambda plan: plan.name)
def test_each_place_is_made_or_left_out_with_a_reason(plan: Plan) -> None:
    names = [place.name for place in plan.places]
    assert {shown for step in plan.steps for shown in step.shows} <= set(names)
    assert set(plan.left_out) <= set(names)
    for name in names:
        assert bool(plan.of_place(name)) != (name in plan.left_out), name


def test_the_full_plan_leaves_nothing_out_and_checks_each_claim_without_further_studies() -> None:
    assert PLANS[FULL].left_out == {}
    plan = PLANS[FULL].of_the_paper()
    for claim in read_claims(shipped.results()):
        assert plan.of_page(claim.page), claim.page
    for place in plan.places:  # the probes are no part of the paper
        assert plan.of_place(place.name) or place.name == "probing", place.name


def test_no_step_of_the_paper_uses_what_a_further_study_makes() -> None:
    plan = PLANS[FULL].of_the_paper()
    further = [step for step in PLANS[FULL].steps if step.further]
    assert further
    assert not [step for step in plan.steps if any(step.uses(one.folder) for one in further)]


def test_the_pages_of_all_steps_are_those_of_claims() -> None:
    pages = {claim.page for claim in read_claims(shipped.results())}
    assert {page for _, step in STEPS for page in step.pages} <= pages


def test_names_and_folders_belong_to_one_step_each() -> None:
    for plan in PLANS.values():
        assert len({step.name for step in plan.steps}) == len(plan.steps)
        assert len({step.folder for step in plan.steps}) == len(plan.steps)


@pytest.mark.parametrize(("plan", "step"), STEPS, ids=lambda one: getattr(one, "name", one))
def test_a_step_writes_into_its_folder_and_takes_checkpoints_of_earlier_ones(
    plan: str, step: Step
) -> None:
    assert step.command[0] in SUBCOMMANDS
    config = configuration(step)
    place = {
        "fit": option(step, "--trainer.logger.init_args.save_dir"),
        "ablate": config.get("out_dir"),
        "transfer": config.get("out_dir"),
        "probe": config.get("out_dir"),
    }.get(step.command[0], option(step, "--output") or config.get("output"))
    assert place == step.folder
    earlier = PLANS[plan].steps[: PLANS[plan].steps.index(step)]
    assert set(step.needs()) <= {one.folder for one in earlier}


def test_seeds_make_steps_of_one_study() -> None:
    steps = [step for step in PLANS[QUICK].steps if step.study == "adv_digits"]
    assert [step.name for step in steps] == ["adv_digits_0", "adv_digits_1", "adv_digits_2"]
    assert [option(step, "--seed_everything") for step in steps] == ["0", "1", "2"]
    assert PLANS[QUICK].of_place("adversarial training") == steps[:1]


def test_a_checkpoint_takes_the_place_of_its_folder(tmp_path: Path) -> None:
    (step,) = [one for one in PLANS[QUICK].steps if one.name == "attack_digits"]
    assert "'<.ckpt of adv_digits/seed_0>'" in step.line(tmp_path)
    path = tmp_path / "adv_digits" / "seed_0" / "version_0" / "last.ckpt"
    path.parent.mkdir(parents=True)
    path.touch()
    line = step.line(tmp_path)
    assert re.search(r"--ckpt_path adv_digits/seed_0/version_0/last\.ckpt$", line)
    assert newest_file(tmp_path, "*.ckpt") == path


def test_a_folder_within_that_of_a_step_belongs_to_it_and_one_beside_does_not() -> None:
    plan = PLANS[FULL]
    inside = plan.of_folder("adv_mnist/seed_1/lightning_logs/version_0")
    assert inside is not None
    assert inside.name == "adv_mnist_1"
    assert plan.of_folder("table55") is None


def test_steps_on_images_name_the_data_that_their_files_do() -> None:
    """What a recipe reads is what its step says that it needs."""
    for _, step in STEPS:
        text = yaml.safe_dump(configuration(step))
        found = set(re.findall(r"\b(imagenet/[\w./]+|cifar10)$", text, re.MULTILINE))
        assert found == {name.removesuffix("/train") for name in step.data} - {"cifar10/test"}


def test_what_a_step_needs_to_be_installed_is_what_its_page_says() -> None:
    (step,) = [step for _, step in STEPS if step.modules]
    page = (shipped.results().parent / f"{step.name}.md").read_text()
    assert step.installed_by in page
