"""What is worth telling people who do not look: that labels are enough, and that answers have become worse."""
