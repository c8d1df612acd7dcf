"""The phenomena: each is a function that draws one sentence, in both languages, which shows it."""
