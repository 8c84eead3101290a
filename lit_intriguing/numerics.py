"""One decision for the whole process: denormal numbers count as zero."""


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
