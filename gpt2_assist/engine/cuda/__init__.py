"""The engine on an NVIDIA card: fused kernels, one graph launch a token."""
