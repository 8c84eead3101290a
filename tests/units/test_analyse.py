from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lit_intriguing.errors import UserError
from lit_intriguing.units import Maximum, analyse_units, haar_rotations, images_at
from lit_intriguing.units.analyse import UnitReport
from lit_intriguing.units.components import PRINCIPAL
from lit_intriguing.units.network_scan import NetworkScan, ScanSettings
from tests.units import planted


def network(units: int = 20) -> nn.Sequential:
    """Return layers that hand the input on, so that what its units are is known."""
    layers = nn.Sequential(nn.Linear(units, units, bias=False), nn.ReLU(), nn.Dropout(0.5))
    with torch.no_grad():
        layers[0].weight.copy_(torch.eye(units))
    return layers


def data() -> tuple[Tensor, Tensor]:
    return planted.classes(0, planted.UNITS)


def same(one: UnitReport, other: UnitReport) -> bool:
    return len(one.analyses) == len(other.analyses) and all(
        torch.equal(a.top, b.top)
        and torch.equal(a.random_top, b.random_top)
        and torch.equal(a.random, b.random)
        and a.effect == b.effect
        for a, b in zip(one.analyses, other.analyses, strict=True)
    )


def test_units_that_are_classes_and_the_control_beside_them() -> None:
    model = network().train()
    report = analyse_units(model, data(), ["0", "1"])
    assert [(one.layer, one.network) for one in report.analyses] == [
        ("0", "trained"), ("0", "untrained"), ("1", "trained"), ("1", "untrained"),
    ]  # fmt: skip
    for layer in ("0", "1"):
        assert report.of(layer).verdict == "units"
        assert report.of(layer, "untrained").verdict != "units"
        # The same random directions for both networks.
        assert report.of(layer).random.shape == report.of(layer, "untrained").random.shape
    assert report.images == planted.IMAGES
    assert model.training
    assert model[2].training
    with pytest.raises(KeyError):
        report.of("2")


def test_the_cut_into_batches_changes_nothing() -> None:
    images, labels = data()
    whole = analyse_units(network(), (images, labels), "?", rotations=5)
    loader = DataLoader(TensorDataset(images, labels), batch_size=333)
    assert same(whole, analyse_units(network(), loader, "?", rotations=5))
    batches = [(images[:1500], labels[:1500]), (images[1500:], labels[1500:])]
    assert same(whole, analyse_units(network(), batches, "?", rotations=5))


def test_a_layers_result_does_not_depend_on_the_other_layers() -> None:
    together = analyse_units(network(), data(), "?", rotations=5, control=False)
    alone = analyse_units(network(), data(), "1", rotations=5, control=False)
    assert torch.equal(together.of("1").random, alone.of("1").random)


def test_scans_merge_and_go_on() -> None:
    images, _ = data()
    settings = ScanSettings(rotations=3)
    names = ["0", "1"]
    parts = [NetworkScan(names, settings) for _ in range(3)]
    for number, rows in enumerate(torch.arange(len(images)).split(300)):
        parts[number % 2].add(network(), images[rows], rows)
    parts[2].load_state_dict(parts[0].state_dict())
    parts[2].merge(parts[1])
    whole = NetworkScan(names, settings)
    whole.add(network(), images, torch.arange(len(images)))
    for layer in names:
        merged, once = parts[2].layers[layer], whole.layers[layer]
        assert torch.equal(merged.random.result()[1], once.random.result()[1])
        assert torch.equal(merged.top["units"].result()[1], once.top["units"].result()[1])
        assert torch.equal(merged.activity["units"].active(), once.activity["units"].active())
    assert parts[2].images == len(images)


def test_features_of_another_network() -> None:
    images, labels = data()
    seen: list[int] = []

    def features(batch: Tensor) -> Tensor:
        seen.append(len(batch))
        nearest = batch.argmax(1)
        return torch.eye(20)[nearest]

    report = analyse_units(
        network(), DataLoader(TensorDataset(images)), "1", features=features, rotations=39,
        control=False,
    )  # fmt: skip
    assert report.of("1").verdict == "units"
    rows = torch.cat([report.of("1").top.flatten(), report.of("1").random_top.flatten()])
    assert sum(seen[1:]) == len(torch.unique(rows))  # after the trial before the pass
    assert len(labels) == len(images)


def test_directions_of_ones_own_and_principal_components() -> None:
    images, labels = planted.rotated(0)
    generator = torch.Generator().manual_seed(10_000)
    back = haar_rotations(20, 1, generator=generator)[0]
    report = analyse_units(
        network(), (images, labels), "0", control=False, principal=True,
        directions={"0": {"classes": 3 * back}},
    )  # fmt: skip
    assert report.of("0").verdict != "units"
    assert report.of("0", basis="classes").verdict == "units"
    assert report.of("0", basis=PRINCIPAL).top.shape == (40, 8)


def test_readings_give_other_results() -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(1, 6, 3)
    model = nn.Sequential(model)
    images, labels = torch.randn(60, 1, 8, 8), torch.arange(60) % 4
    mean = analyse_units(model, (images, labels), "0", rotations=2, control=False)
    maximum = analyse_units(
        model, (images, labels), "0", rotations=2, control=False, reading=Maximum()
    )
    assert not torch.equal(mean.of("0").top, maximum.of("0").top)


def test_dead_and_broken_layers_cost_nothing_but_themselves() -> None:
    images, labels = data()
    model = nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 5))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.copy_(torch.linspace(-2, -1, 20))
        model[2].weight.fill_(torch.nan)
    report = analyse_units(model, (images, labels), "?", control=False, rotations=3)
    assert "dead" in report.of("1").note
    assert report.of("1").active == 0
    assert "finite" in report.of("2").note
    assert {one.verdict for one in report.analyses} == {"undecided"}
    # A few dead units are left out.
    some = network()
    with torch.no_grad():
        some[0].weight[:4] = 0
    found = analyse_units(some, (images, labels), "1", control=False).of("1")
    assert found.active == 16
    assert bool(found.coherence[:4].isnan().all())
    assert found.random.shape == (39, 16)
    assert found.verdict == "units"


def test_images_by_their_indices() -> None:
    images, labels = torch.arange(12.0).view(6, 2), torch.arange(6)
    indices = torch.tensor([[5, 0], [3, 5]])
    batches = [(images[:4], labels[:4]), (images[4:], labels[4:])]
    for source in (images, (images, labels), batches, DataLoader(TensorDataset(images), 4)):
        assert torch.equal(images_at(source, indices), images[indices])
    with pytest.raises(UserError, match="only 1 of the 2"):
        images_at(batches, torch.tensor([1, 9]))


class Shaky:
    """Features of a length that changes."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.calls += 1
        return torch.randn(len(images), 3 + self.calls)


def test_what_cannot_work_is_said() -> None:
    images, labels = data()
    model = network()
    with pytest.raises(UserError, match="no layer '5'"):
        analyse_units(model, (images, labels), "5")
    with pytest.raises(UserError, match=r"top 8 .* only 3"):
        analyse_units(model, (images[:3], labels[:3]), "1")
    with pytest.raises(UserError, match=r"top 8 .* only 3"):
        analyse_units(model, [(images[:3], labels[:3])], "1")
    with pytest.raises(UserError, match="All 2000 images have the label 0"):
        analyse_units(model, (images, labels * 0), "1", rotations=1)
    with pytest.raises(UserError, match="no labels"):
        analyse_units(model, images, "1")
    with pytest.raises(UserError, match="length 5 for some images and 6"):
        analyse_units(model, images, "1", features=Shaky(), rotations=1)
    with pytest.raises(UserError, match=r"\(2, F\)"):
        analyse_units(model, images, "1", features=lambda x: x[0])
    with pytest.raises(UserError, match="shuffles"):
        analyse_units(model, DataLoader(TensorDataset(images, labels), shuffle=True), "1")
    with pytest.raises(UserError, match="iterator"):
        analyse_units(model, iter([(images, labels)]), "1")
    with pytest.raises(UserError, match="equal number"):
        analyse_units(model, (images, labels[1:]), "1")
    with pytest.raises(UserError, match="which is not analysed"):
        analyse_units(model, (images, labels), "1", directions={"0": {}}, control=False)
    with pytest.raises(UserError, match="k must be at least 2"):
        analyse_units(model, (images, labels), "1", k=1)


@pytest.mark.parametrize(
    ("name", "control"), [("untrained", True), ("control", network())], ids=["copy", "given"]
)
def test_a_network_with_the_name_of_its_control_is_refused_and_the_ways_out_work(
    name: str, control: bool | nn.Module
) -> None:
    with pytest.raises(UserError, match=f"The name '{name}' is taken by the control"):
        analyse_units(network(), data(), "1", rotations=1, name=name, control=control)
    report = analyse_units(network(), data(), "1", rotations=1, name=name, control=False)
    assert report.of("1", name).images == planted.IMAGES
    analyse_units(network(), data(), "1", rotations=1, name="own", control=control)


def test_own_directions_are_checked_beside_principal_components_too() -> None:
    options = {"rotations": 1, "control": False, "principal": True}
    basis = torch.eye(20)
    with pytest.raises(UserError, match="given for 'typo', which is not analysed"):
        analyse_units(network(), data(), "1", directions={"typo": {"own": basis}}, **options)
    with pytest.raises(UserError, match=f"'{PRINCIPAL}' of layer '1' is taken"):
        analyse_units(network(), data(), "1", directions={"1": {PRINCIPAL: basis}}, **options)


def test_a_layer_that_is_not_finite_has_neither_components_nor_values() -> None:
    model = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 5))
    with torch.no_grad():
        model[1].weight[0, 0] = torch.nan
    report = analyse_units(model, data(), "?", rotations=3, control=False, principal=True)
    for basis in ("units", PRINCIPAL):
        broken = report.of("1", basis=basis)
        assert broken.note == "some activations are not finite"
        assert bool(broken.random.isnan().all())
        assert broken.coherence.isnan().all()
        assert report.of("0", basis=basis).note == ""


def test_a_loader_of_images_alone_may_be_any_iterable() -> None:
    images, _ = data()

    class Loader:
        def __iter__(self) -> Iterator[Tensor]:
            return iter(images.split(700))

    report = analyse_units(
        network(), Loader(), "1", features=lambda x: x, rotations=2, control=False
    )
    assert report.images == len(images)


def test_a_model_that_was_compiled_and_called_is_read_as_well() -> None:
    images, labels = data()
    plain = analyse_units(network(), (images, labels), "?", rotations=2, control=False)
    model = network().eval()
    model.compile(backend="eager")
    model(images[:10])
    assert same(plain, analyse_units(model, (images, labels), "?", rotations=2, control=False))


def test_products_under_autocast_are_of_single_precision() -> None:
    images, labels = data()
    plain = analyse_units(network(), (images, labels), "2", rotations=2, control=False)
    scan = NetworkScan(["2"], ScanSettings(rotations=2))
    with torch.autocast("cpu", torch.bfloat16):
        scan.layers["2"] = scan._begin("2", 20, torch.device("cpu"))
        scan.layers["2"].add(images.relu(), torch.arange(len(images)))
    found = scan.layers["2"].random.result()[1]
    assert torch.equal(found, plain.of("2").random_top.flatten(0, 1))
