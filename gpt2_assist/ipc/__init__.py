"""How processes talk: messages, their frames, what carries them, and the client."""
