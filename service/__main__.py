"""`python -m service` is `magpie`."""

from service.cli import main

main()
