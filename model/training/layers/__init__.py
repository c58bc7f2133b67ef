"""The layers of an encoder that learn, without padding."""
