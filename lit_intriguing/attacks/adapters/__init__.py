"""Attacks of other libraries, and plain callables, wherever this package takes an attack.

Every adapter is an `lit_intriguing.attacks.Attack`: the sealed call clamps what a library
returns and verifies success on it. None of the libraries is a dependency:

- `Foolbox`, foolbox 3: `pip install 'lit-intriguing[foolbox]'`;
- `AdversarialLibrary`, adversarial-library (`adv_lib`): `...[adversarial-library]`;
- `AutoAttack`: `...[autoattack]` brings the repackaging pyautoattack; where the authors' own
  `autoattack` is installed, that is taken;
- `Torchattacks`, torchattacks: `pip install --no-deps torchattacks`. It has no extra: 3.5.1 pins
  an old `requests` and installs a top-level `robustbench` of its own over the real one;
- `FromCallable`, any function: nothing.

adversarial-library asks for visdom, whose source package does not build with the newest setuptools;
where that stops the installation, first::

    pip install 'setuptools<81' wheel && pip install --no-build-isolation visdom

In YAML the attack is the path of its class or function::

    class_path: lit_intriguing.attacks.Foolbox
    init_args:
      attack: foolbox.attacks.DDNAttack
      options: {steps: 50}

`attack: {class_path: foolbox.attacks.DDNAttack, init_args: {steps: 50}}` does the same, but
not for classes whose arguments have no types, such as those of torchattacks; and where the library
is missing, the command line can then say no more than that there is no such class.

What holds for the four libraries (`FromCallable` gets the tensors as they are):

- **Units.** The library sees the box of the bounds as [0, 1] in float32, mapped element by element,
  and its options (`eps` and the like) count in widths of the box: for normalised images that are
  pixels again. With [0, 1] itself nothing is mapped. Infinite bounds are refused. An element that
  the library left alone comes back bit for bit. A result exactly on the decision boundary may not
  count as a success to a model in another precision.
- **Guard.** The library gets a stand-in for the model, through which it reaches neither modules nor
  parameters; what it does to modes, gradients or the global random states is undone.
- **Randomness** comes from the call's generator.
- **Queries** are the gradient evaluations of the batch divided by its size, rounded up;
  `info["forwards"]` are the evaluations of the model, likewise.
- **Examples** share a batch as the library sees fit: random numbers, and with some libraries the
  stopping, depend on the others. `one_by_one=True` attacks each example by itself.
"""

from lit_intriguing.attacks.adapters.adversarial_library import AdversarialLibrary
from lit_intriguing.attacks.adapters.autoattack import AutoAttack
from lit_intriguing.attacks.adapters.base import ExternalAttack, StandIn
from lit_intriguing.attacks.adapters.foolbox import Foolbox
from lit_intriguing.attacks.adapters.from_callable import FromCallable
from lit_intriguing.attacks.adapters.named import MissingLibraryError
from lit_intriguing.attacks.adapters.torchattacks import Torchattacks

Borrowed, Shown = ExternalAttack, StandIn
"""The names they had before."""

__all__ = [
    "AdversarialLibrary",
    "AutoAttack",
    "Borrowed",
    "ExternalAttack",
    "Foolbox",
    "FromCallable",
    "MissingLibraryError",
    "Shown",
    "StandIn",
    "Torchattacks",
]
