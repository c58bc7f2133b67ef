"""A classifier that was trained elsewhere as a challenger: read with suspicion, judged by the same gate."""
