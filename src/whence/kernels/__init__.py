"""Arithmetic on arrays that knows nothing of pools, examples or methods: arrays in, arrays out."""
