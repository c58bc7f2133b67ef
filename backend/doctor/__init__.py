"""`understudy doctor`: what is in order and what is not, with the evidence and how to mend it. It changes nothing."""
