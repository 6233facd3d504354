"""The full-screen session: a story that is typed into at its end."""
