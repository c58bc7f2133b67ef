"""In which order the fine-tunes of several projects are trained."""
