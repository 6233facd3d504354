"""From text files to weights: corpus reading, packing, the loss, the loop, and what is measured of the result."""
