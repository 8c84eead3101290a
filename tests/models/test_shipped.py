"""The networks that come with the package: by name, small, with the page's test errors."""

import re
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from lit_intriguing import cli, shipped_weights
from lit_intriguing.data import MNIST
from lit_intriguing.errors import UserError
from lit_intriguing.model_sets.sources import ModelSource, fit_config, load_model
from lit_intriguing.models import pretrained
from lit_intriguing.models.described import KEY
from lit_intriguing.models.weights import read_checkpoint

PAGE = Path(__file__).parents[2] / "recipes" / "pretrained.md"
MEASURED = {
    name: float(error)
    for name, error in re.findall(
        r"^\| `([\w.-]+)` \| .* \| ([\d.]+) \| .* \|$",
        PAGE.read_text() if PAGE.is_file() else "",
        re.MULTILINE,
    )
}
IN_A_CHECKOUT = pytest.mark.skipif(not PAGE.is_file(), reason="the pages are in a checkout alone")


@IN_A_CHECKOUT
def test_the_page_lists_all_of_them_and_they_are_small():
    assert sorted(MEASURED) == shipped_weights.names()
    assert sum(file.stat().st_size for file in shipped_weights.FOLDER.iterdir()) < 5e6


@pytest.mark.parametrize("name", shipped_weights.names())
def test_each_is_made_from_its_file_without_a_path_of_another_machine(name):
    model = pretrained(name)
    assert not model.training
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    content = read_checkpoint(shipped_weights.shipped_checkpoint(name))  # tensors and plain values
    assert content["hyper_parameters"].get("encoder") is None
    assert content[KEY]["format"] == 1
    assert {value.dtype for value in content["state_dict"].values()} == {torch.float32}


@IN_A_CHECKOUT
@pytest.mark.parametrize("name", ["adv_mnist", "adv_mnist_pools"])
def test_it_is_a_network_of_the_recipe_that_the_page_names(name):
    assert f"| `{name}` | `{name}.yaml` |" in PAGE.read_text()
    config = fit_config([f"recipes/{name}.yaml"])
    made = load_model(ModelSource(checkpoint=name), config, None)
    x = torch.rand(3, 1, 28, 28)
    assert torch.equal(made(x), pretrained(name)(x))


@IN_A_CHECKOUT
@pytest.mark.parametrize("name", shipped_weights.names())
def test_its_test_error_is_the_pages(name, data_dir, tmp_path):
    trainer = Trainer(
        accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.test(pretrained(name), datamodule=MNIST(batch_size=2000), verbose=False)
    # Rounding of another machine may move one image, 0.01.
    assert 100 * float(trainer.callback_metrics["test/error"]) == pytest.approx(
        MEASURED[name], abs=0.011
    )


def test_a_set_of_models_takes_them_by_name():
    made = load_model(ModelSource(checkpoint="adv_mnist"), None, None)
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(made(x), pretrained("adv_mnist")(x))


def test_a_file_of_the_same_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped_weights.found_checkpoint("fc10_1").parent == shipped_weights.FOLDER
    (tmp_path / "fc10_1").touch()
    assert shipped_weights.found_checkpoint("fc10_1") == Path("fc10_1")


def test_an_unknown_name_is_refused_with_the_nearest(capsys):
    with pytest.raises(UserError, match="Did you mean 'adv_mnist'"):
        pretrained("adv_minst")
    with pytest.raises(SystemExit):
        cli.main(["test", "--config", "adv_mnist", "--ckpt_path", "adv_minst"])
    assert "no checkpoint 'adv_minst'. Did you mean 'adv_mnist'?" in capsys.readouterr().err


def test_a_command_takes_the_model_from_the_checkpoint_it_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--input_shape=[1,28,28]", "--trainer.logger=false"]
    cli.main(["lipschitz", "--ckpt_path", "fc10_1", *words])
    out = capsys.readouterr().out
    norm = float(torch.linalg.matrix_norm(pretrained("fc10_1").output.weight.detach().double(), 2))
    (shown,) = re.findall(r"network, product bound: ([\d.]+)", out)
    assert float(shown) == pytest.approx(norm, rel=1e-4)
