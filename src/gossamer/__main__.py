"""`python -m gossamer` is the command line too."""

from gossamer.cli import main

main()
