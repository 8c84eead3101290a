"""Decisions for a whole process: denormal numbers, freed memory, the search for GPUs."""

import ctypes
import os

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""Parameters of glibc's `mallopt`."""

_OWN_MAPPING = 32 * 2**20
"""Bytes from which on a block is mapped by itself and given back at once: the most glibc allows."""

_KEPT = 256 * 2**20
"""Bytes that stay with the process, free, before it gives any back."""


def flush_denormals() -> bool:
    """Make arithmetic on CPU treat denormal floats (below 1.2e-38) as zero.

    Weight decay drives the weights of pixels that are always black through the denormal range,
    where arithmetic is several times slower. The flag belongs to a thread, new threads inherit
    it, and nothing can read it back: call this once at the start of a process, before torch has
    started its worker threads, or half of a tensor stays unflushed and results depend on the
    moment of the call. The command line does so; a script of your own may do the same.

    Returns:
        Whether this processor has such a mode.
    """
    import torch  # here, so that the command line's light half may import this file

    return torch.set_flush_denormal(True)


def keep_freed_memory() -> bool:
    """Keep up to 256 MiB of freed memory for the next tensors, with glibc.

    By default it gives blocks of 0.1 MB and more back at once, and each new tensor of that size
    costs the system's zeroing of its pages: a seventh of a training step of a small network.
    The command line does so at its start; a script of your own may do the same.

    Returns:
        Whether the process allocates by glibc, so that this has an effect.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another system
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _OWN_MAPPING) and mallopt(_TRIM_THRESHOLD, _KEPT))


def spare_search_for_gpus() -> bool:
    """Spare Adam the search for GPUs in each step, on a machine that has none.

    Torch 2.14 asks in each step whether there is a GPU. Lightning has it ask the driver's library
    (`PYTORCH_NVML_BASED_CUDA_CHECK=1`), which is looked for on the disk anew each time: 0.05 to
    0.2 ms. Call this once Lightning is imported. The command line does so.

    Returns:
        Whether there is none.
    """
    import torch

    if torch.cuda.device_count():
        return False
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
    return True
