"""What a fine-tune is taught about questions: passages read with their questions, the loss, and what it came to."""
