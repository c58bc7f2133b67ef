"""What an admin asks of a teacher, and sees of it; knows no HTTP."""
