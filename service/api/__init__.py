"""The HTTP edge: routes parse, `answer` answers, schemas render."""
