"""The fused kernels that tiles and decoding steps call, one file for each."""
