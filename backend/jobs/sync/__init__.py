"""Reconciling what is stored with what Label Studio holds."""
