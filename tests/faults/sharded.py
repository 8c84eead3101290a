"""A sharded checkpoint as `ModelParallelStrategy` writes it, of one process."""

import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import nn

REST = {"global_step": 3, "callbacks": {"ours": {"0": {"pool": torch.arange(4.0)}}}}
"""What Lightning keeps beside the tensors."""


def saved(folder: Path, **more: Any) -> Path:
    """A folder as ModelParallelStrategy writes it, of one process."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.25)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = optimizer.state_dict()
    named = {
        "state": {n: state["state"][k] for k, n in enumerate(("weight", "bias"))},
        "param_groups": [{**state["param_groups"][0], "params": ["weight", "bias"]}],
    }
    content = {"state_dict": model.state_dict(), "optimizer_0": named, **more}
    with warnings.catch_warnings():  # that there is one process
        warnings.filterwarnings("ignore", "torch.distributed is")
        dcp.save(content, checkpoint_id=folder, no_dist=True)
    torch.save(REST, folder / "meta.pt")
    return folder
