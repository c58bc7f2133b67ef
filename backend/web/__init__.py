"""The edge of HTTP: who may ask what, how often, and how answers and errors look."""
