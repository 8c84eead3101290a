"""A forecaster of pytorch-forecasting, built from its own data set."""

from tests.real_hosts.host import BATCH, NO_LABELS, Build, Host

LIBRARY = "pytorch-forecasting"
MODULE = "pytorch_forecasting"


def _temporal_fusion() -> Host:
    import numpy as np
    import pandas as pd
    from pytorch_forecasting import TemporalFusionTransformer, TimeSeriesDataSet
    from pytorch_forecasting.metrics import QuantileLoss

    steps = np.tile(np.arange(12), 2)
    series = pd.DataFrame({
        "time": steps,
        "series": np.repeat(["a", "b"], 12),
        "value": np.sin(steps) + np.random.rand(24),
    })  # fmt: skip
    data = TimeSeriesDataSet(
        series, time_idx="time", target="value", group_ids=["series"],
        max_encoder_length=4, max_prediction_length=2,
        time_varying_known_reals=["time"], time_varying_unknown_reals=["value"],
    )  # fmt: skip
    module = TemporalFusionTransformer.from_dataset(
        data, hidden_size=4, attention_head_size=1, hidden_continuous_size=4, dropout=0.1,
        loss=QuantileLoss(), learning_rate=0.01,
    )  # fmt: skip
    loader = data.to_dataloader(train=True, batch_size=BATCH, num_workers=0)
    known = {"inputs": "0.encoder_cont", **NO_LABELS}
    # Its hyperparameters, which a checkpoint stores, are objects of its own.
    return Host(module, loader, "static_enrichment", known, plain=False)


HOSTS: dict[str, Build] = {"temporal fusion transformer": _temporal_fusion}
