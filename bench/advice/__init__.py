"""Whether the advice that the product gives is right."""
