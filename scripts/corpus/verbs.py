"""Groups of verbs that the sentence patterns draw from."""

from corpus.words import verbs_of

TRANSITIVE = verbs_of("transitive")
SEPARABLE = verbs_of("separable")
DITRANSITIVE = verbs_of("ditransitive")
DATIVE = verbs_of("dative")
PREPOSITIONAL = verbs_of("prepositional")
REFLEXIVE = verbs_of("reflexive")
INTRANSITIVE = verbs_of("intransitive")
MOTION = verbs_of("motion")
POSITION = {verb.name: verb for verb in verbs_of("position")}
BE, HAVE, KNOW_THAT, *_OTHERS = verbs_of("other")
OTHER = {verb.name: verb for verb in (BE, HAVE, *_OTHERS)}
VERB = {verb.name: verb for verb in (*TRANSITIVE, *SEPARABLE, *INTRANSITIVE, *MOTION)}

EVERYDAY = TRANSITIVE + SEPARABLE + DITRANSITIVE + PREPOSITIONAL
WILLED = tuple(verb for verb in EVERYDAY if verb.imperative)  # what one can want to do, or be told to
SIMPLY_WILLED = tuple(verb for verb in WILLED if verb not in DITRANSITIVE)
