"""How `--help` looks."""
import argparse


class Help(argparse.HelpFormatter):
    """Prose is wrapped to the terminal; what has lines of its own, as examples have, stands as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)
