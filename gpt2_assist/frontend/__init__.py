"""What front ends share: series of samples, copies, the first model, progress, help."""
