"""What both trainings share: rows, gradients, the loss, states on the disk."""
