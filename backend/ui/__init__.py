"""The model page: what a browser is shown of projects, from typed views through templates. Knows no Flask."""
