import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lit_intriguing.data.images.reading import (
    UnreadableImageError,
    inspect_image,
    read_image,
)
from tests.data.images.folders import pixels, save, truncated


def written(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_rgb_comes_back_bit_by_bit(tmp_path: Path) -> None:
    found = read_image(save(tmp_path / "a.png", 3))
    assert found.dtype == torch.uint8
    assert np.array_equal(found.permute(1, 2, 0).numpy(), pixels(3))


def test_grey_of_8_bits_becomes_three_equal_channels_or_one(tmp_path: Path) -> None:
    grey = pixels(1)[:, :, 0]
    path = written(tmp_path / "a.png", Image.fromarray(grey))
    assert np.array_equal(read_image(path).numpy(), np.stack([grey] * 3))
    assert np.array_equal(read_image(path, 1).numpy(), grey[None])


def test_grey_of_16_bits_keeps_all_its_bits(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256], [4097, 40_000, 65_535]], np.uint16)
    for name in ("a.png", "a.tif"):
        found = read_image(written(tmp_path / name, Image.fromarray(values)))
        assert found.shape == (3, 2, 3)
        expected = torch.from_numpy(values.astype(np.float32)) / 65_535
        assert torch.equal(found[0], expected)


def test_cmyk_has_the_colours_that_a_viewer_shows(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 16), (200, 30, 60))
    path = written(tmp_path / "a.jpg", image.convert("CMYK"), quality=95)
    with Image.open(path) as opened:
        assert opened.mode == "CMYK"
    found = read_image(path).float().mean((1, 2))
    assert (found - torch.tensor([200.0, 30.0, 60.0])).abs().max() < 4


def test_transparent_pixels_lie_on_white_whatever_colour_they_hide(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (10, 20, 30, 255))
    image.putpixel((1, 0), (10, 20, 30, 0))
    found = read_image(written(tmp_path / "a.png", image))
    assert found[:, 0, 0].tolist() == [10, 20, 30]
    assert found[:, 0, 1].tolist() == [255, 255, 255]


def test_palette_with_and_without_a_transparent_entry(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([250, 0, 0, 0, 0, 250])
    image.putpixel((1, 0), 1)
    plain = read_image(written(tmp_path / "a.png", image))
    assert plain[:, 0].T.tolist() == [[250, 0, 0], [0, 0, 250]]
    see_through = read_image(written(tmp_path / "b.png", image, transparency=1))
    assert see_through[:, 0].T.tolist() == [[250, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turn_that_exif_asks_for_is_made(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8] = 255  # the corner at the top left is white
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright),
        7: np.rot90(upright, 2).transpose(1, 0, 2), 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    path = written(tmp_path / "a.png", image, exif=exif)
    assert np.array_equal(read_image(path).permute(1, 2, 0).numpy(), upright)
    assert inspect_image(path) == (16, 32)


def test_damaged_exif_does_not_make_an_image_unreadable(tmp_path: Path) -> None:
    image = Image.fromarray(pixels(0, 16))
    path = written(tmp_path / "a.jpg", image, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_image(path).shape == (3, 16, 16)


def test_files_that_are_no_whole_image_are_unreadable_with_the_reason(tmp_path: Path) -> None:
    half = truncated(tmp_path / "half.jpg")
    text = tmp_path / "text.jpg"
    text.write_text("not an image")
    empty = tmp_path / "empty.png"
    empty.touch()
    png = io.BytesIO()
    Image.fromarray(pixels(0, 64)).save(png, "PNG")
    broken = tmp_path / "broken.png"
    broken.write_bytes(png.getvalue()[:-3000])
    for path in (half, text, empty, broken):
        for function in (read_image, inspect_image):
            with pytest.raises(UnreadableImageError, match=r"truncated|identify") as error:
                function(path)
            assert str(tmp_path) not in str(error.value)


def test_values_without_a_known_range_are_unreadable(tmp_path: Path) -> None:
    for values in (np.array([[0.0, 3.5]], np.float32), np.array([[0, 70_000]], np.int32)):
        path = written(tmp_path / "a.tif", Image.fromarray(values))
        with pytest.raises(UnreadableImageError, match="store it with 8 or 16 bits"):
            read_image(path)


def test_a_large_jpeg_is_inspected_at_its_own_size(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jpg", Image.fromarray(pixels(0, 100)[:60]))
    assert inspect_image(path) == (60, 100)


def test_the_reason_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "note.jpg"
    path.write_text("no image")
    with pytest.raises(UnreadableImageError, match=r"^cannot identify image file 'note\.jpg'$"):
        read_image(path)
