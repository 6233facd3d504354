"""`python -m gpt2_assist` is `gpt2-assist`."""
import sys

from gpt2_assist.cli import main

sys.exit(main())
