"""Tasks: small classes that say how labels are read, what is learnt from them, and what an answer looks like."""
