"""What the benches share: rigs, loads, reports and made-up data."""
