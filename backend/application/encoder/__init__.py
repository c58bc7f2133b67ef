"""What an admin sees of a change of the encoder, and decides; knows no HTTP."""
