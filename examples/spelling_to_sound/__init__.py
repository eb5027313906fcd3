"""English spelling to phonemes: an encoder and a decoder, two `.grulet` files, and a greedy loop between them."""
