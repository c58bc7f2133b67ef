"""`understudy pool`: what of the unlabelled tasks is there again, or unlike all others."""
