"""What a model card tells of a version, section by section: Markdown from what is stored, never a text or a name."""
