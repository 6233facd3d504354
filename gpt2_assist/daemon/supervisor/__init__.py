"""The process that clients talk to. It imports neither torch nor numba."""
