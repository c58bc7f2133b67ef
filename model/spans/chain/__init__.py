"""A linear-chain CRF over words in numpy: tags that share strength, exact probabilities of spans, decoding."""
