"""The RQ workers: how they show signs of life, take jobs and stop."""
