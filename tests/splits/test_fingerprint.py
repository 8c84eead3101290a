"""Descriptions of what examples depend on."""

import dataclasses
import functools
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lit_intriguing.attacks import FromCallable, GradientAttack, RandomTargets
from lit_intriguing.attacks.base import Attack, Found
from lit_intriguing.splits.fingerprint import described, differences, fingerprint, of_model
from lit_intriguing.types import Bounds


class Wrapped(Attack):
    """An attack around another, with a bar and a cache."""

    def __init__(self, inner: Attack, progress: bool = False) -> None:
        self.inner, self.progress, self._cache = inner, progress, object()

    def search(self, model, x, criterion, *, bounds, generator) -> Found:
        raise NotImplementedError


def test_an_attack_is_described_with_the_one_inside_it() -> None:
    told = described(Wrapped(GradientAttack(eps=1.5)))
    assert told["inner"]["eps"] == 1.5
    assert told["class"].endswith("test_fingerprint.Wrapped")
    assert set(told) == {"class", "inner"}
    assert told == described(Wrapped(GradientAttack(eps=1.5), progress=True))
    assert told != described(Wrapped(GradientAttack(eps=1.6)))


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (GradientAttack(1.0, norm=float("inf")), '"norm": "inf"'),
        (RandomTargets(), "RandomTargets"),
        (Bounds([0.0, -1.0], torch.ones(2)), '"lower": [0.0, -1.0], "upper": [1.0, 1.0]'),
        (functools.partial(max, 3), "builtins.max"),
        (torch.relu, "relu"),
        (nn.ReLU, "torch.nn.modules.activation.ReLU"),
        (nn.Linear(2, 2), "weights"),
        (object(), "builtins.object"),
        ({1, 2}, "[1, 2]"),
    ],
    # Texts of objects hold addresses, which no two processes share.
    ids=["attack", "goal", "bounds", "partial", "builtin", "class", "module", "object", "set"],
)
def test_anything_is_named_in_plain_values(thing: object, text: str) -> None:
    assert text in json.dumps(described(thing))


def test_a_used_box_is_described_as_a_new_one() -> None:
    used = Bounds()
    assert used.finite
    assert described(used) == described(Bounds())


def test_fingerprints_tell_values_shapes_and_types_apart() -> None:
    zeros = torch.zeros(4)
    others = [torch.ones(4), zeros.view(2, 2), zeros.int(), zeros[:3], torch.zeros(())]
    assert fingerprint(zeros) == fingerprint(torch.zeros(8)[::2])
    assert len({fingerprint(one) for one in [zeros, *others]}) == 6


def test_a_model_is_named_by_weights_and_structure() -> None:
    torch.manual_seed(0)
    first = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    second = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    second.load_state_dict(first.state_dict())
    assert of_model(first)["weights"] == of_model(second)["weights"]
    assert next(differences(of_model(first), of_model(second))).startswith("structure ")
    with torch.no_grad():
        second[0].bias[0] += 1
    assert of_model(first)["weights"] != of_model(second)["weights"]


def test_differences_name_what_one_side_lacks() -> None:
    assert list(differences({"a": {"b": 1}}, {"a": {"c": 2}})) == ["a.b 1 -> None", "a.c None -> 2"]


class Sized:
    """What `FromCallable` makes of a class: its text is an address."""

    def __init__(self, eps: float) -> None:
        self.eps, self.itself = eps, self

    def __call__(self, model, x, criterion, *, bounds, generator):
        return x + self.eps


def test_a_function_of_ones_own_is_described_with_its_options() -> None:
    one, again, other = (described(FromCallable(Sized, {"eps": eps})) for eps in (0.1, 0.1, 0.3))
    assert one == again != other
    assert one["function"]["eps"] == 0.1
    assert one["function"]["itself"] == "the one 1 levels above"


def times(weight: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: weight * x


class Slotted:
    """Has no `__dict__`, and an attribute that may be missing."""

    __slots__ = ("eps", "missing")

    def __init__(self, eps: float) -> None:
        self.eps = eps


class Private:
    """Shows nothing of what it computes by."""

    def __init__(self, eps: float) -> None:
        self._eps = eps

    def __call__(self, model, x, criterion, *, bounds, generator):
        return x + self._eps


ONE, OTHER = nn.Linear(2, 2), nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (times(1.0), times(2.0)),
        (lambda x: ONE(x), lambda x: OTHER(x)),
        (lambda x, of=ONE: of(x), lambda x, of=OTHER: of(x)),
        (ONE.forward, OTHER.forward),
        (functools.partial(ONE.forward), functools.partial(OTHER.forward)),
        (functools.partial(max, 1), functools.partial(max, 2)),
        (functools.lru_cache(times(1.0)), functools.lru_cache(times(2.0))),
        (torch.ones(2).mul, torch.zeros(2).mul),
        (Slotted(1.0), Slotted(2.0)),
        (Private(1.0), Private(2.0)),
        (FromCallable(Private, {"eps": 1.0}), FromCallable(Private, {"eps": 2.0})),
        (deque([Private(1.0)]), deque([Private(2.0)])),
        ({times(1.0): 1}, {times(2.0): 1}),
    ],
    ids=[
        "closure", "global", "default", "method", "partial method", "partial", "cache",
        "builtin method", "slots", "private", "attack", "deque", "keys",
    ],
)  # fmt: skip
def test_functions_are_told_apart_by_what_they_hold(one: object, other: object) -> None:
    assert described(one) != described(other)
    assert json.dumps(described(one)) == json.dumps(described(one))
    assert "0x" not in json.dumps(described(one))


def test_closures_of_the_same_values_are_described_alike() -> None:
    assert described(times(3.0)) == described(times(3.0))


def test_a_function_that_calls_itself_is_described() -> None:
    def down(x: int) -> int:
        return down(x - 1) if x else 0

    assert described(down)["with"]["down"] == "the one 2 levels above"


def test_descriptions_do_not_depend_on_whether_equal_values_are_one() -> None:
    one, other = times(1.0), times(1.0)
    assert described([one, one]) == described([one, other])
    assert described([Private(1.0)] * 2) == described([Private(1.0), Private(1.0)])


class Stepping(Attack):
    """Chooses one of its own methods."""

    def __init__(self, step: str = "_sign") -> None:
        self.step = getattr(self, step)
        self.steps = [functools.partial(self.step)]

    def _sign(self) -> None: ...

    def _project(self) -> None: ...

    def search(self, model, x, criterion, *, bounds, generator) -> Found:
        raise NotImplementedError


@dataclasses.dataclass
class Node:
    """May be its own successor."""

    value: int
    next: Any = None


def ring(value: int) -> Node:
    node = Node(value)
    node.next = node
    return node


def within(value: int) -> Callable[[], object]:
    found: list[Any] = [value]
    found.append({"all": found})
    return lambda: found


def test_things_that_hold_themselves_are_described() -> None:
    assert described(Stepping()) == described(Stepping()) != described(Stepping("_project"))
    assert described(Stepping())["step"]["of"] == "the one 2 levels above"
    assert described(ring(1)) == described(ring(1)) != described(ring(2))
    assert described(within(1)) == described(within(1)) != described(within(2))
    assert described([ring(1), ring(1)])[1]["next"] == "the one 1 levels above"


def test_what_is_deep_or_all_joined_is_described_soon() -> None:
    chain = Node(0)
    for value in range(5000):
        chain = Node(value, chain)
    assert described(chain)["next"]["value"] == 4998
    crowd = [Private(float(eps)) for eps in range(12)]
    for one in crowd:
        one.others = list(crowd)
    assert "number" in json.dumps(described(crowd))


class Odd:
    """Has no text."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


def test_what_raises_when_it_is_looked_at_is_its_class() -> None:
    assert described([Odd(), 1]) == [f"{__name__}.Odd", 1]
    assert described({"values": torch.ones(2, device="meta")}) == {"values": "torch.Tensor"}


@pytest.mark.parametrize(
    ("thing", "told"),
    [
        (torch.Tensor.abs, "torch._C.TensorBase.abs"),
        (str.upper, "builtins.str.upper"),
        (torch.tensor([1j]), ["1j"]),
        (torch.tensor([[float("nan"), 1.0]]), [["nan", 1.0]]),
        (torch.tensor(float("nan")), "nan"),
        (torch.tensor([float("inf")]), [float("inf")]),
        ({torch.float32: 1, 2: 3}, {"torch.float32": 1, "2": 3}),
        ({described: 1, 2: 3}, [[f"{described.__module__}.described", 1], [2, 3]]),
    ],
    ids=["of a tensor", "of text", "complex", "nan", "scalar", "infinite", "keys", "address"],
)
def test_descriptions_come_back_from_json_as_they_were(thing: object, told: object) -> None:
    assert described(thing) == told == json.loads(json.dumps(described(thing)))


@functools.lru_cache
def remembered(x: int) -> int:
    return x


def test_a_wrapper_that_can_be_imported_is_its_name() -> None:
    assert described(remembered) == f"{__name__}.remembered"


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_functions_in_torchscript_are_told_apart_by_their_code() -> None:
    def one(x: torch.Tensor) -> torch.Tensor:
        return x + 1

    def other(x: torch.Tensor) -> torch.Tensor:
        return x + 2

    assert described(torch.jit.script(one)) != described(torch.jit.script(other))
    assert described(torch.jit.script(one))["function"] == "one"


def test_a_compiled_function_is_described_as_what_it_was() -> None:
    one = torch.compile(times(1.0), backend="eager")
    assert described(one) == described(times(1.0))


class Named(Private):
    """Has a text that shows nothing."""

    def __repr__(self) -> str:
        return "named"


class Shifted(nn.Module):
    """Adds what neither its weights nor its text show, and holds a method of its own."""

    def __init__(self, shift: object) -> None:
        super().__init__()
        self.shift, self.call = shift, self.forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.shift


@pytest.mark.parametrize("kind", [Named, Shifted, lambda one: [Shifted(Named(one))]])
def test_whole_descriptions_tell_what_texts_hide(kind: Callable[[float], object]) -> None:
    one, again, other = kind(1.0), kind(1.0), kind(2.0)
    assert described(one) == described(other)
    assert described(one, whole=True) == described(again, whole=True)
    assert described(one, whole=True) != described(other, whole=True)


def test_whole_descriptions_tell_objects_that_show_nothing_by_identity() -> None:
    one, other = object(), object()
    assert described(one, whole=True) == described(one, whole=True) != described(other, whole=True)


def test_large_arrays_are_told_apart_in_the_middle() -> None:
    array = np.zeros(5000)
    changed = array.copy()
    changed[2500] = 1
    assert described(array) == described(array.copy()) != described(changed)
    assert described(array) != described(array.astype(np.float32))
    assert described(np.arange(3)) == [0, 1, 2]


def test_descriptions_are_the_same_in_each_process() -> None:
    """Sets of text have an order, and functions and modules addresses, that change."""
    code = (
        "import json, torch; from torch import nn\n"
        "from lit_intriguing.splits.fingerprint import described, of_model\n"
        "class Around(nn.Module):\n"
        "    def extra_repr(self): return str(torch.nn.functional.relu) + str(object())\n"
        "names = {'cat', 'dog', 'bee', 'ant', 'owl'}\n"
        "within = lambda x: x in {'cat', 'dog', 'bee', 'ant', 'owl'}\n"
        "print(json.dumps([described([names, frozenset(names), within]), of_model(Around())]))\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1
    assert described({10, 9, "b", "a"}) == [9, 10, "a", "b"]


def test_a_script_has_the_same_names_in_processes_that_it_spawns(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import json, multiprocessing, torch\n"
        "from lit_intriguing.splits.fingerprint import described, of_model\n"
        "class Own(torch.nn.Module):\n"
        "    def extra_repr(self): return f'{mine.__module__}.mine'\n"
        "def mine(x): return x + 1\n"
        "def told(_): return json.dumps([described([mine, Own]), of_model(Own())])\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(told(0)); print(*pool.map(told, [0]))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True
    )  # fmt: skip
    parent, child = done.stdout.splitlines()
    assert parent == child
    assert "__main__.mine" in parent
