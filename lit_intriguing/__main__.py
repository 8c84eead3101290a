"""`python -m lit_intriguing`: the same program as the scripts `lightning` and `lit-intriguing`."""

from lit_intriguing.cli import main

if __name__ == "__main__":
    main()
