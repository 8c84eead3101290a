"""What loggers get: figures, tables, the configuration; and what happens where one fails."""
