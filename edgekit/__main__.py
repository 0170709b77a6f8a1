"""`python -m edgekit`: the command line."""

import sys

from edgekit.cli import main

sys.exit(main())
