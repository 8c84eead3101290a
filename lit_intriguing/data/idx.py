"""The idx format of MNIST's files: a magic number, the sizes, then bytes."""

import math
import struct

import numpy as np
import torch
from torch import Tensor


def parse_idx(content: bytes) -> Tensor:
    """Return the array of unsigned bytes in the contents of an idx file, uint8.

    Raises:
        ValueError: If it is not an idx file of unsigned bytes, or of another length than it says.

    Examples:
        >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
        tensor([7, 8, 9], dtype=torch.uint8)
    """
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError("not an idx file of unsigned bytes")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError("an idx file that ends within its header")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise ValueError(
            f"{len(content) - start} bytes of data where {math.prod(shape)} are expected"
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())
