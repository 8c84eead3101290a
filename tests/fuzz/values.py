"""What users give by mistake, and how a refusal must look."""

import os
import traceback
from pathlib import Path
from typing import Any

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from lit_intriguing.errors import UserError

TIMES = int(os.environ.get("LIT_INTRIGUING_FUZZ", "1"))
"""How many times as many examples as in the quick tests; above 1 they are new in each run."""


def fuzzed(examples: int) -> settings:
    """Return settings of Hypothesis: the same examples each time, unless more are asked for."""
    return settings(
        max_examples=TIMES * examples,
        derandomize=TIMES == 1,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


TENSORS = st.sampled_from(
    [
        torch.tensor([1.0, 2.0]), torch.tensor(-1), torch.zeros(0), torch.eye(2).bool(),
        torch.tensor(float("nan")), torch.full((2, 2), torch.inf), torch.eye(2, dtype=torch.cfloat),
    ]
)  # fmt: skip
FLOATS = st.floats(allow_subnormal=False) | st.floats(-2, 2, allow_subnormal=False)
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([10**30, -(10**30)]),
    FLOATS, st.sampled_from(["", "x", "input", "0.3", "inf", "\0", "a.b"]),
    st.sampled_from([object(), len, torch.nn.ReLU(), Path("x"), b"x", 1j, range(3)]), TENSORS,
)  # fmt: skip
ODD = st.one_of(PLAIN, st.lists(PLAIN, max_size=3), st.dictionaries(st.text(max_size=2), PLAIN))


def check_refusal(error: Exception, value: Any, name: str = "") -> None:
    """Fail unless an error is a refusal of ours, which has a name in it, and none of torch's."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    ours = "lit_intriguing" in where.filename
    refused = ours and isinstance(error, ValueError | NotImplementedError)
    named = name.rstrip("s").replace("_", " ") in str(error).replace("_", " ")
    if not (isinstance(error, UserError) or refused) or not named:
        raise AssertionError(
            f"{value!r}: {type(error).__name__}: {error} ({where.filename}:{where.lineno})"
        )
