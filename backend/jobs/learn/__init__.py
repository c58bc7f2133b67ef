"""The refit: from new labels to a published version, within a second."""
