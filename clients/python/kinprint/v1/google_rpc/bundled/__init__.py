"""Generated copy of the google.rpc messages."""
