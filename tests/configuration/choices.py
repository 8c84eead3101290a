"""Classes to choose between in configurations: some options in common, some not."""

from dataclasses import dataclass

from torch import nn


class Shape(nn.Module):
    """What the others are."""


class Circle(Shape):
    def __init__(
        self,
        size: int = 1,
        centre: int = 0,
        inner: Shape | None = None,
        names: dict[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.size, self.centre, self.inner, self.names = size, centre, inner, names


class Square(Shape):
    def __init__(self, size: int = 1, angle: float = 0.0, inner: Shape | None = None) -> None:
        super().__init__()
        self.size, self.angle, self.inner = size, angle, inner


class Word(Shape):
    def __init__(self, size: str = "large") -> None:
        super().__init__()
        self.size = size


@dataclass
class Entry:
    """One entry of a dictionary."""

    weight: int = 1
    height: int = 2


class Study:
    """What a command of several runs may have as options."""

    def __init__(
        self,
        shape: Shape | None = None,
        shapes: list[Shape] | None = None,
        entries: dict[str, Entry] | None = None,
        free: dict[str, int] | None = None,
    ) -> None: ...
