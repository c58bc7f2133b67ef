"""A data set in the formats that people's tools read."""
