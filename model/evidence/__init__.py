"""What held-out and live answers say: the gate, recalibration, the learning curve, label errors."""
