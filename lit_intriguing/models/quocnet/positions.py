"""Where the windows of untied filters stand, and how they are parted into blocks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lit_intriguing.errors import UserError


@dataclass(frozen=True)
class Block:
    """A rectangle of positions.

    Attributes:
        rows: First row of positions, and the one behind the last.
        columns: Likewise.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    def __len__(self) -> int:
        rows, columns = self.sides
        return rows * columns


@dataclass(frozen=True)
class Positions:
    """The positions of a window on images, counted row by row.

    Attributes:
        image: Height and width of an image.
        kernel: Of a window.
        stride: Pixels from a position to the next, down and across.

    Raises:
        UserError: If a number is below 1, or no window fits.

    Example:
        >>> Positions((200, 200), (18, 18), (1, 1)).sides
        (183, 183)
    """

    image: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if min(*self.image, *self.kernel, *self.stride) < 1:
            raise UserError(
                f"images of {_by(self.image)}, a kernel of {_by(self.kernel)} and a stride of "
                f"{_by(self.stride)} must be at least 1 each way"
            )
        if any(size < taps for size, taps in zip(self.image, self.kernel, strict=True)):
            raise UserError(
                f"images of {_by(self.image)} pixels are smaller than a window of "
                f"{_by(self.kernel)}: give larger images, or a smaller kernel"
            )

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of positions."""
        down, across = (
            (size - taps) // step + 1
            for size, taps, step in zip(self.image, self.kernel, self.stride, strict=True)
        )
        return down, across

    def __len__(self) -> int:
        down, across = self.sides
        return down * across

    def blocks(self, first: int, count: int, most: int) -> Iterator[Block]:
        """Part positions that follow each other into rectangles, in their order.

        Args:
            first: Number of the first position.
            count: Positions.
            most: Of a rectangle, at most; at least 1.
        """
        across, here, end = self.sides[1], first, first + count
        while here < end:
            row, column = divmod(here, across)
            whole = min(end - here, most) // across
            if column == 0 and whole:
                block = Block((row, row + whole), (0, across))
            else:
                block = Block((row, row + 1), (column, min(across, column + min(most, end - here))))
            yield block
            here += len(block)

    def pixels(self, block: Block) -> tuple[slice, slice]:
        """Return rows and columns of the pixels that a block's windows hold."""
        down, across = (
            slice(ends[0] * step, (ends[1] - 1) * step + taps)
            for ends, step, taps in zip(
                (block.rows, block.columns), self.stride, self.kernel, strict=True
            )
        )
        return down, across


def pair(extent: int | Sequence[int]) -> tuple[int, int]:
    """Return height and width, of one number for both or one for each.

    Raises:
        UserError: There are not two.
    """
    if isinstance(extent, int):
        return extent, extent
    if len(extent) != 2:
        raise UserError(f"give one number for height and width, or two, not {list(extent)}")
    return extent[0], extent[1]


def _by(sides: tuple[int, int]) -> str:
    return f"{sides[0]}x{sides[1]}"
