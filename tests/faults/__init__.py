"""The fault table of docs/faults.md, row by row: `test_row_09_…` is what its row 9 says."""
