"""The subcommands of gpt2-assist, one module per family."""
