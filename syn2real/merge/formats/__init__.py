"""Weight files of each format, read as a `syn2real.merge.tensors.TensorSource`."""
