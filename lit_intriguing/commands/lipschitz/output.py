"""What comes out: the layers' table, the network's bounds, and what is to be said of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lit_intriguing.errors import UserError
from lit_intriguing.figures.bars import bar_chart, norm_bar
from lit_intriguing.figures.canvas import png
from lit_intriguing.lipschitz.layer_bounds import PADDED, LayerBound, NetworkNorm
from lit_intriguing.lipschitz.norm import Norm
from lit_intriguing.tables import Cell, csv_table, terminal_table
from lit_intriguing.whole_files import write_bytes, write_json

COLUMNS = ["layer", "type", "input shape", "bound", "kind"]


@dataclass(frozen=True)
class Result:
    """A network's bounds.

    Attributes:
        network: What is known of it.
        layers: Those in the table.
        input_shape: Of one example.
        seconds: CPU time spent on the bounds.
        paper: The paper's value of some layers.
        certified: Share of images classified correctly whose prediction cannot change within each
            L2 radius.
        images: Of which these are shares; 0 where none was asked for.
    """

    network: NetworkNorm
    layers: Sequence[LayerBound]
    input_shape: tuple[int, ...]
    seconds: float
    paper: Mapping[str, float] = field(default_factory=dict)
    certified: Mapping[float, float] = field(default_factory=dict)
    images: int = 0

    def csv(self) -> str:
        """Return a row for each layer, in full precision, with what there is to say of it."""
        columns = [*COLUMNS, "risk", "note", *self._paper_column()]
        rows = [
            [*_names(one), one.norm.value, one.norm.certainty(), one.norm.risk,
             one.note or one.norm.reason, *self._paper_cell(one)]
            for one in self.layers
        ]  # fmt: skip
        return csv_table(columns, rows)

    def text(self) -> str:
        """Return all of it for a terminal, but for what is folded into the layer before it."""
        rows = [
            [*_names(one), one.norm.text(), one.norm.certainty(), *self._paper_cell(one)]
            for one in self.layers
            if one.folded_into is None
        ]
        table = terminal_table([*COLUMNS, *self._paper_column()], rows)
        return "\n".join([table, *self._network_lines(), *self._remarks()])

    def figure(self) -> bytes:
        """Draw the layers' bounds, the paper's beside them, and the network's apart, as a PNG."""
        drawn = [one for one in self.layers if one.folded_into is None]
        bars = [norm_bar(one.name, one.norm, self.paper.get(one.name)) for one in drawn]
        norms = self._network_norms()
        whole = [norm_bar(f"network: {name}", norm) for name, norm in norms.items()]
        label = "bound of the Lipschitz constant (L2)"
        return png(bar_chart(bars, label=label, beside="the paper's", apart=whole))

    def summary(self) -> dict[str, Any]:
        """Return the network's numbers as plain values; null for infinite, with the reason."""
        return {
            "input_shape": list(self.input_shape),
            **{name: _as_json(norm) for name, norm in self._network_norms().items()},
            "certified_accuracy": {
                f"{radius:g}": share for radius, share in self.certified.items()
            },
            "rows": self.images,
            "cpu_seconds": round(self.seconds, 3),
        }

    def _network_norms(self) -> dict[str, Norm]:
        joint = {} if self.network.joint is None else {"joint": self.network.joint}
        return {"product": self.network.product, **joint}

    def _network_lines(self) -> list[str]:
        lines = [
            f"network, {name} bound: {norm.text(6)} ({norm.certainty()})"
            for name, norm in self._network_norms().items()
        ]
        certified = [
            f"certified accuracy at L2 radius {radius:g}: {share:.2%} of {self.images} images"
            for radius, share in self.certified.items()
        ]
        return [*lines, f"CPU seconds: {self.seconds:.2f}", *certified]

    def _remarks(self) -> list[str]:
        infinite = [
            f"not bounded: {one.norm.reason}." for one in self.network.layers if not one.norm.finite
        ]
        if not self.network.product.finite and not infinite:
            infinite = [f"not bounded: {self.network.product.reason}."]
        folded = sum(one.folded_into is not None for one in self.layers)
        padded = sum(one.note.startswith(PADDED) for one in self.layers)
        counts = {
            "batch normalisations bounded together with the layer before": folded,
            "convolutions bounded together with the padding before": padded,
        }
        together = [f"{what}: {count}." for what, count in counts.items() if count]
        joint = self.network.joint.reason if self.network.joint is not None else ""
        coarser = [f"the joint bound is {joint}."] if joint else []
        return [*infinite, *together, *coarser, *pooling_remark(self.network.layers)]

    def _paper_column(self) -> list[str]:
        return ["paper"] if self.paper else []

    def _paper_cell(self, layer: LayerBound) -> list[Cell]:
        return [self.paper.get(layer.name, "")] if self.paper else []


def write(folder: Path, result: Result) -> list[str]:
    """Write `lipschitz.csv`, `lipschitz.png` and `summary.json`, and return their names.

    Raises:
        UserError: They cannot be written.
    """
    try:
        write_bytes(folder / "lipschitz.csv", result.csv().encode())
        write_bytes(folder / "lipschitz.png", result.figure())
        write_json(folder / "summary.json", result.summary())
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error}. Name another: --output.") from error
    return ["lipschitz.csv", "lipschitz.png", "summary.json"]


def pooling_remark(layers: Sequence[LayerBound]) -> list[str]:
    """Return what the paper does not say of max pools with overlapping windows: a line, or none.

    Args:
        layers: A network's.
    """
    pools = [
        f"{one.name} by {one.norm.text()}"
        for one in layers
        if one.type.lower().replace("_", "").startswith(("maxpool", "adaptivemaxpool"))
        and one.norm.value > 1
        and one.norm.finite
    ]
    if not pools:
        return []
    return [
        "max pooling is not contractive where windows overlap, as the paper takes it to be: it can "
        "stretch a distance by the square root of the number of windows that share a pixel; here "
        f"{', '.join(pools)}."
    ]


def _names(layer: LayerBound) -> list[Cell]:
    return [layer.name, layer.type, "x".join(map(str, layer.input_shape or ()))]


def _as_json(norm: Norm) -> dict[str, Any]:
    return {
        "bound": norm.value if norm.finite else None,
        "kind": norm.kind if norm.finite else "unknown",
        "risk": norm.risk,
        "reason": norm.reason,
    }
