"""A version as one ONNX graph, from token ids to calibrated probabilities, with the little that reads texts for it."""
