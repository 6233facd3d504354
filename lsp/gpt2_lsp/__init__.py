"""The language server of gpt2-assist: completions in every editor with LSP. A thin client of the daemon."""
