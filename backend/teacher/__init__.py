"""Asks a language model about unlabelled texts, where an admin wants that: what is asked, of whom, and what counts."""
