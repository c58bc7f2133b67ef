"""`understudy simulate`: its options, its signs of life, and the command."""
