"""The paper's claims, the commands that check them, and what a reproduction has done so far."""
