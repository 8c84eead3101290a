"""`lightning reproduce`: the commands of the paper one after the other, resumable."""
