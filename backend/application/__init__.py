"""What a request does, without HTTP: one module for each thing that is asked of a project."""
