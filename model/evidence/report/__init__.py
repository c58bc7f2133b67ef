"""What test-then-train rows tell people: class by class, mistake by mistake, and by how sure an answer was."""
