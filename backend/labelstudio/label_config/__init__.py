"""Label configs: which control tags can be learned, their labels, and when the page asks for them."""
