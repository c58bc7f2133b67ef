"""`understudy notify`: how notifications fare, and a test of them."""
