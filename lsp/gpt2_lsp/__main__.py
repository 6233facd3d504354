import sys

from gpt2_lsp.main import main

sys.exit(main())
