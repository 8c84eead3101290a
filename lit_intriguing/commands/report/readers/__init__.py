"""One file for each kind of result: what a command has left in a folder, ready to be shown."""
