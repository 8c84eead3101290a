"""Strategies that spread one model's weights over processes, of either package of Lightning."""

_FLAT = {"DeepSpeedStrategy", "FSDPStrategy"}
_FSDP2 = "ModelParallelStrategy"


def takes_apart(strategy: object) -> bool:
    """Return whether no process has all weights of the model."""
    return flattens(strategy) or shards_layers(strategy)


def flattens(strategy: object) -> bool:
    """Return whether layers have no weights of their own shape while the strategy runs."""
    return bool(_FLAT & _names(strategy))


def shards_layers(strategy: object) -> bool:
    """Return whether it is that of FSDP2, which keeps each layer's parameters, in parts."""
    return _FSDP2 in _names(strategy)


def reads_shards(strategy: object) -> bool:
    """Return whether the strategy itself reads the folder of a sharded checkpoint."""
    return bool({"FSDPStrategy", _FSDP2} & _names(strategy))


def _names(strategy: object) -> set[str]:
    return {kind.__name__ for kind in type(strategy).__mro__}
