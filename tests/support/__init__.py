"""What the tests share: real servers, stand-ins and tiny models."""
