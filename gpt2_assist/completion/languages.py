"""What is known of languages, named by LSP's ids: which are prose, and how a comment begins."""

PROSE = frozenset({
    "", "asciidoc", "asciidoctor", "bibtex", "git-commit", "gitcommit", "jjdescription", "latex", "mail", "markdown",
    "mdx", "norg", "org", "pandoc", "plaintext", "quarto", "rst", "restructuredtext", "rmd", "scminput", "tex", "text",
    "textile", "txt", "typst", "vimwiki"})
"""Languages of which a person reads sentences; `scminput` is VS Code's field for a commit message."""

_DASHES = frozenset({"ada", "elm", "haskell", "lua", "sql", "vhdl"})
_HASHES = frozenset({
    "bash", "cmake", "coffeescript", "conf", "dockerfile", "elixir", "fish", "gdscript", "julia", "make", "makefile",
    "nix", "nim", "perl", "powershell", "python", "r", "ruby", "sh", "shellscript", "starlark", "tcl", "terraform",
    "toml", "yaml", "zsh"})
_SEMICOLONS = frozenset({"asm", "clojure", "commonlisp", "emacs-lisp", "fennel", "ini", "lisp", "racket", "scheme"})
_PERCENTS = frozenset({"erlang", "matlab", "octave", "prolog"})


def comment(language: str) -> str:
    """What begins a line's comment."""
    for names, sign in ((_HASHES, "#"), (_DASHES, "--"), (_SEMICOLONS, ";;"), (_PERCENTS, "%")):
        if language in names:
            return sign
    return "//"
