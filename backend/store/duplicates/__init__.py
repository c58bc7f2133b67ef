"""What is stored of duplicates: what people answered to each text, by what its duplicates share."""
