"""Makes and checks the documents: the editions of the lessons, and the font of their pictures."""
