"""`python -m gpuspawner.cli`: the command of this very environment, whatever is on PATH."""

import sys

from gpuspawner.cli import main

sys.exit(main())
