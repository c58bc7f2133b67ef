"""One view a tab: what it shows, as typed data, all numbers worked out; its JSON twin is the same data."""
