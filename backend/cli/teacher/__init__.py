"""`understudy teach`: has a language model asked, shows how far it is, stops it."""
