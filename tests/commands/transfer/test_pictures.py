"""The sets of a transfer study as pictures."""

import io

import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lit_intriguing.attacks import Attack, Found
from lit_intriguing.attacks.examples import Examples
from lit_intriguing.commands.transfer import TransferJob, TransferMatrix, transfer_tensors
from lit_intriguing.commands.transfer.pictures import panels
from lit_intriguing.errors import UsageError
from lit_intriguing.model_sets.examples import made_for

JOB = TransferJob(noise=(0.5,), amplify=(0.3,), chunk=20)


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """20 pictures of 8 x 8; which half is brighter is the label."""
    images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return images, (images[:, 0, :4].mean((1, 2)) > images[:, 0, 4:].mean((1, 2))).long()


def halves(scale: float) -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).eval()
    with torch.no_grad():
        signs = torch.cat([-torch.ones(32), torch.ones(32)])
        model[1].weight.copy_(scale * torch.stack([signs, -signs]))
        model[1].bias.zero_()
    return model


MODELS = {"a": halves(1.0), "b": halves(2.0)}


class Pictures(LightningDataModule):
    def test_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(*pictures()), 7)


class Hopeless(Attack):
    def search(self, model, x, criterion, **options) -> Found:
        return Found(x.clone(), torch.zeros(len(x), dtype=torch.int64))


def drawn(job: TransferJob, count: int):
    examples = {name: made_for(model, *pictures(), job, 0) for name, model in MODELS.items()}
    return examples, panels(transfer_tensors(MODELS, *pictures(), job), job, examples, count)


def test_every_set_but_the_clean_one_is_drawn_of_the_same_rows_with_its_accuracy():
    examples, found = drawn(JOB, 4)
    assert [panel.title for panel in found] == [
        "for a", "for b", "Gaussian noise, stddev 0.5", "for a, amplified to 0.3",
        "for b, amplified to 0.3",
    ]  # fmt: skip
    assert all(torch.equal(panel.clean, found[0].clean) for panel in found)
    images = pictures()[0]
    rows = [int((images == one).flatten(1).all(1).nonzero()) for one in found[0].clean]
    assert len(rows) == 4
    assert torch.equal(found[0].distorted, examples["a"].adversarial[rows])
    assert "accuracy: a 0.0%, b " in found[0].caption
    assert found[3].caption.startswith("distortion 0.3\n")
    assert torch.equal(found[2].clean, images[rows])
    assert float((found[2].distorted - found[2].clean).std()) == pytest.approx(0.5, rel=0.2)


def test_no_more_rows_are_drawn_than_count_in_all_sets():
    _, found = drawn(JOB, 20)
    assert 4 < len(found[0].clean) <= 20
    _, none = drawn(TransferJob(Hopeless(), chunk=20, noise=(0.5,)), 20)
    assert none == []


def test_rows_that_are_no_images_are_not_drawn():
    images, labels = torch.rand(6, 5), torch.zeros(6).long()
    job = TransferJob(chunk=6)
    models = {"m": nn.Linear(5, 3)}
    made: dict[str, Examples] = {"m": made_for(models["m"], images, labels, job, 0)}
    assert panels(transfer_tensors(models, images, labels, job), job, made, 2) == []


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_the_study_writes_the_pictures_and_says_where(tmp_path, capsys):
    quiet = {"accelerator": "cpu", "enable_progress_bar": False}
    options = {"data": Pictures(), "out_dir": str(tmp_path), "trainer": quiet, "chunk": 8}
    TransferMatrix({"a": MODELS["a"]}, noise=[1.0], **options).run(io.StringIO())
    assert not (tmp_path / "examples.png").exists()
    TransferMatrix({"a": MODELS["a"]}, noise=[1.0], show=3, **options).run()
    assert (tmp_path / "examples.png").read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert "3 images of each set are drawn.\n" in out
    assert out.endswith(f"transfer.png, examples.png in {tmp_path}\n")


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.parametrize("show", [0, 3])
def test_pictures_of_other_results_are_kept_aside_with_their_tables(show, tmp_path):
    quiet = {"accelerator": "cpu", "enable_progress_bar": False}
    options = {"data": Pictures(), "out_dir": str(tmp_path), "trainer": quiet, "chunk": 8}
    TransferMatrix({"a": MODELS["a"]}, noise=[1.0], show=3, **options).run(io.StringIO())
    first = (tmp_path / "examples.png").read_bytes()
    TransferMatrix({"a": MODELS["a"]}, noise=[0.5], show=show, **options).run(io.StringIO())
    assert (tmp_path / "earlier-1" / "examples.png").read_bytes() == first
    assert (tmp_path / "examples.png").exists() == bool(show)


@pytest.mark.parametrize("show", [-1, 9])
def test_a_number_of_pictures_that_cannot_be_is_refused(show, tmp_path):
    study = TransferMatrix(MODELS, Pictures(), str(tmp_path), show=show, chunk=8)
    with pytest.raises(UsageError, match=f"show lies between 0 and chunk, 8, not {show}"):
        study.run()
