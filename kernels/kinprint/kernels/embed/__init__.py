"""The fast tier of meaning: texts cut into sentences, sentences into tokens, tokens looked up in a table of vectors."""
