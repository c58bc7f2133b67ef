"""The same text again: labels of duplicates, how often they agree, and what of a pool is a duplicate or an outlier."""
