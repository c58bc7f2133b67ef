"""What tests and benches share: the running product, real servers, stand-ins and tiny models."""
