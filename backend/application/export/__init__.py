"""What an admin asks of exports, and sees of them; knows no HTTP."""
