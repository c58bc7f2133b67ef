"""Gazetteers and patterns that people bring: strings and regular expressions for each label, and where they match."""
