"""Private names of the libraries below, one function for each; each has a canary test.

What a release of those libraries may move without notice is used through this room alone, so that
one file says what to look at. Nothing is imported before a function is called.
"""
