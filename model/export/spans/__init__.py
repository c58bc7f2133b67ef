"""A control that marks text as one ONNX graph, and the little that reads texts for it and finds the spans."""
