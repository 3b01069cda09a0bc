"""`python -m ensemble` is `ens`."""

from ensemble.cli import main

main()
