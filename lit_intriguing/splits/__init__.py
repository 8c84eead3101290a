"""A split of the data in chunks of examples: read, worked on, stored, and resumed."""
