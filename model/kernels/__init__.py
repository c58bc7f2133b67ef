"""The products of an encoder's layer, and which of them is fastest on this machine."""
