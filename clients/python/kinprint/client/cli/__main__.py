"""`python -m kinprint.client.cli`."""

from kinprint.client.cli import main

main()
