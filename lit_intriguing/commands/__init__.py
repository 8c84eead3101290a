"""The subcommands that are ours, one room each: what is asked, how it runs, what comes out."""
