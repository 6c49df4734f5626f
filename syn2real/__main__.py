"""`python -m syn2real`: the command line where its script is not on the path."""

from syn2real.cli.main import main

if __name__ == "__main__":
    main()
