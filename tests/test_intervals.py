import math

import pytest
from scipy.stats import ttest_1samp

from lit_intriguing.intervals import interval_of_mean

VALUES = [1.06, 1.07, 1.02, 1.09, 1.08]


def test_the_interval_is_that_of_the_t_test() -> None:
    expected = ttest_1samp(VALUES, 0.0).confidence_interval(0.95)
    assert interval_of_mean(VALUES) == pytest.approx((expected.low, expected.high))


def test_one_value_has_no_interval() -> None:
    assert all(math.isnan(end) for end in interval_of_mean([1.0]))
