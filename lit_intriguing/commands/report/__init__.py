"""`lightning report`: what a folder holds, on one page."""
