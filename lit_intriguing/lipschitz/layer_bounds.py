"""What is known of a network: of each of its layers, and of the whole."""

from dataclasses import dataclass, replace

from lit_intriguing.lipschitz.norm import Norm
from lit_intriguing.lipschitz.registry import Shape
from lit_intriguing.tables import terminal_table

Cell = str | int | float

FOLDED = "folded into "
"""Begins the note of a layer that is bounded together with the one before."""
PADDED = "with the padding of "
"""Begins the note of a convolution that is bounded together with the padding before it."""


@dataclass(frozen=True)
class LayerBound:
    """What is known of one layer.

    Attributes:
        name: Qualified name of the module; of a function, that of its place and its own.
        type: Of the module, or the function's name.
        input_shape: Shape of one example of its input, without the batch dimension; None where it
            is not known.
        norm: Its constant; of a layer that is used with several shapes, the largest.
        note: What else there is to say of it: that it is `folded into` the layer before it, which
            is then bounded together with it, and `norm` is 1, not its own constant; or that `norm`
            is that of it `with the padding of` the layer before it.
    """

    name: str
    type: str
    input_shape: Shape | None
    norm: Norm
    note: str = ""

    @property
    def folded_into(self) -> str | None:
        """Name of the layer that it is bounded together with; None where it is bounded itself."""
        return self.note.removeprefix(FOLDED) if self.note.startswith(FOLDED) else None


@dataclass(frozen=True)
class NetworkNorm:
    """What is known of a network.

    Attributes:
        layers: In the order of the forward pass, those whose constant is not trivially 1.
        product: The bound along the graph: products along its paths, sums where they are added,
            the root of the sum of squares where they are concatenated.
        joint: The tighter bound of all layers at once, where the network is a stack of dense
            layers; None elsewhere.
    """

    layers: tuple[LayerBound, ...]
    product: Norm
    joint: Norm | None = None

    @property
    def norm(self) -> Norm:
        """The smaller of the two bounds that are certified; if none is, the product.

        Its reason says where the joint bound is coarser than usual.
        """
        certified = [
            one for one in (self.product, self.joint) if one and one.kind in ("exact", "upper")
        ]
        least = min(certified, key=lambda one: one.value, default=self.product)
        coarser = self.joint.reason if self.joint is not None else ""
        return replace(least, reason=least.reason or coarser)

    def table(self) -> tuple[list[str], list[list[Cell]]]:
        """Return column names, and a row for each layer, then for the network."""
        rows: list[list[Cell]] = [
            [
                layer.name,
                layer.type,
                _shape_text(layer.input_shape),
                *_cells(layer.norm, layer.note),
            ]
            for layer in self.layers
        ]
        rows.append(["network", "product", "", *_cells(self.product)])
        if self.joint is not None:
            rows.append(["network", "joint", "", *_cells(self.joint)])
        return ["layer", "type", "input", "norm", "kind", "note"], rows

    def __str__(self) -> str:
        """Return the table as text."""
        columns, rows = self.table()
        shown = [[f"{c:.6g}" if isinstance(c, float) else c for c in row] for row in rows]
        return terminal_table(columns, shown)


def _shape_text(shape: Shape | None) -> str:
    return "" if shape is None else "x".join(map(str, shape))


def _cells(norm: Norm, note: str = "") -> list[Cell]:
    return [norm.value, norm.certainty(), note or norm.reason]
