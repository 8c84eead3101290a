"""`python -m lit_intriguing`, and the scripts `lightning` and `lit-intriguing`."""

from lit_intriguing.command import main

if __name__ == "__main__":
    main()
