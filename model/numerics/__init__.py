"""Arrays, logistic fits, metrics, temperature and hold-outs: numbers without texts."""
