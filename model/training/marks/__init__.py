"""What a fine-tune is taught about marked text: tags of words, texts in windows, and the loss."""
