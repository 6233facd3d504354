"""The supervisor, which clients talk to, and the workers, which own one model each: two kinds of process."""
