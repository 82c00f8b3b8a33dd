"""The record of transcripts on disk: lock, durability, Delta Lake table, maintenance."""
