"""The phenomena: each is a function that draws one sentence, in both languages, which shows it."""

from corpus.phenomena import agreement, cases, numbers, sentences, subordinate, verbs

PHENOMENA = {
    draw.__name__: draw
    for module in (verbs, agreement, cases, numbers, subordinate, sentences)
    for draw in module.PHENOMENA
}
