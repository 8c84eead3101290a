from hypothesis import given, settings
from hypothesis import strategies as st

from lit_intriguing.models.quocnet.positions import Positions


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_blocks_hold_each_position_of_a_part_once_in_order_and_no_more_than_asked(
    data: st.DataObject,
) -> None:
    image = data.draw(st.tuples(st.integers(3, 12), st.integers(3, 12)))
    positions = Positions(image, (3, 2), (data.draw(st.integers(1, 3)), 1))
    first = data.draw(st.integers(0, len(positions)))
    count = data.draw(st.integers(0, len(positions) - first))
    most = data.draw(st.integers(1, 40))
    across = positions.sides[1]
    blocks = list(positions.blocks(first, count, most))
    assert all(len(block) <= most for block in blocks)
    held = [
        row * across + column
        for block in blocks
        for row in range(*block.rows)
        for column in range(*block.columns)
    ]
    assert held == list(range(first, first + count))
