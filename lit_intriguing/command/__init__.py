"""The command line behind its front door, `lit_intriguing.cli`."""
