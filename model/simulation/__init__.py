"""Replays of a labelled data set, and the baselines that they are compared with."""
