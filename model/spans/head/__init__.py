"""The span head: fitted to labelled texts cold or warm, calibrated on texts held out, and what it shows and why."""
