"""`understudy encoder`: how a change of BASE_MODEL fares, and what is to be done."""
