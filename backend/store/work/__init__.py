"""Background work as it is stored: what runs, what fails, how much was done."""
