"""Outgoing events: signed, sent to the endpoints of NOTIFY_URL, and sent again until they are taken."""
