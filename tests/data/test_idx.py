import pytest
import torch

from lit_intriguing.data.idx import parse_idx

HEADER = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3])


def test_the_sizes_and_bytes_of_an_array_are_read() -> None:
    assert torch.equal(parse_idx(HEADER + bytes(range(6))), torch.arange(6).view(2, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an idx file"),
        (b"\x00\x00\x0d\x01", "not an idx file of unsigned bytes"),
        (HEADER[:9], "ends within its header"),
        (HEADER + bytes(5), "5 bytes of data where 6 are expected"),
    ],
)
def test_other_contents_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_idx(content)
