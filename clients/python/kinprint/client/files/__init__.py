"""Files of transcripts: what a row means (`rows`, `chat`), and how each kind of file is read and written."""
