"""The command line: `kinprint` (extra `cli`)."""

from __future__ import annotations

import os
import sys

from kinprint.client import launch


def main() -> None:
    """Entry point of the `kinprint` command."""
    # Failures are told by the commands; what gRPC's C core says of them would stand between their lines.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # A server that the command needs starts while the command is still being imported.
    launch.ahead(sys.argv[1:])
    try:
        from kinprint.client.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "kinprint":
            raise
        from kinprint import installed

        print(f"kinprint: {installed.lacking(error, 'cli')}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        # The commands answer Ctrl-C themselves; until they are there, imports would answer with a traceback.
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    run()
