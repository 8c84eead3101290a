"""A split of the data in chunks of rows: read, worked on under any strategy, kept, resumed."""
