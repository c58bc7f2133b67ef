"""`understudy simulate`: what a project would have learned, replayed from labels that are there."""
