"""The verbs, as tables: English, German, the German participle and imperative, and what may be their object.

One line is `english, past, participle | infinitive, du form, er form | participle | imperative | object`.
English forms are given only where irregular; `+up` is a particle that a pronoun precedes ("picks him up").
German present forms are given only where the vowel changes; `auf-stehen` is separable; `sein` before a
participle is its auxiliary. The object is a list of noun classes (nouns.py).
"""

from dataclasses import dataclass

TRANSITIVE = """
read, read, read | lesen, liest, liest | gelesen | lies | text
write, wrote, written | schreiben | geschrieben | schreib | written
buy, bought, bought | kaufen | gekauft | kauf | ware food
sell, sold, sold | verkaufen | verkauft | verkauf | ware
find, found, found | finden | gefunden | - | ware flat animal
lose, lost, lost | verlieren | verloren | - | flat luggage lent
look for | suchen | gesucht | such | ware flat person animal
need | brauchen | gebraucht | - | ware
eat, ate, eaten | essen, isst, isst | gegessen | iss | food
drink, drank, drunk | trinken | getrunken | trink | drink
order | bestellen | bestellt | bestell | drink food
like | mögen, magst, mag | gemocht | - | drink food animal
repair | reparieren | repariert | reparier | machine opening
use | benutzen | benutzt | benutz | machine
wash | waschen, wäschst, wäscht | gewaschen | wasch | clothing dish
wear, wore, worn | tragen, trägst, trägt | getragen | - | clothing
carry | tragen, trägst, trägt | getragen | trag | luggage
open | öffnen | geöffnet | öffne | opening luggage
close | schließen | geschlossen | schließ | opening luggage
clean | putzen | geputzt | putz | opening room
visit | besuchen | besucht | besuch | person sight
meet, met, met | treffen, triffst, trifft | getroffen | - | person
know, knew, known | kennen | gekannt | - | person sight
see, saw, seen | sehen, siehst, sieht | gesehen | - | person animal building
ask | fragen | gefragt | frag | person
love | lieben | geliebt | - | kin animal
feed, fed, fed | füttern | gefüttert | fütter | animal
understand, understood, understood | verstehen | verstanden | - | thought text
forget, forgot, forgotten | vergessen, vergisst, vergisst | vergessen | - | thought luggage lent
solve | lösen | gelöst | lös | task
learn | lernen | gelernt | lern | studied
sing, sang, sung | singen | gesungen | sing | tune
pay for, paid, paid | bezahlen | bezahlt | bezahl | food drink clothing
check | prüfen | geprüft | prüf | paid task text
paint | malen | gemalt | mal | sight area animal
photograph | fotografieren | fotografiert | fotografier | building animal
rent | mieten | gemietet | miete | home
hide, hid, hidden | verstecken | versteckt | versteck | flat luggage present
bake | backen, backst, backt | gebacken | back | baked
build, built, built | bauen | gebaut | - | building
"""

SEPARABLE = """
call | an-rufen | angerufen | ruf | person
invite | ein-laden, lädst, lädt | eingeladen | lad | person
pick +up | ab-holen | abgeholt | hol | person luggage
tidy +up | auf-räumen | aufgeräumt | räum | room
turn +on | ein-schalten | eingeschaltet | schalte | electric
turn +off | aus-schalten | ausgeschaltet | schalte | electric
bring +along, brought, brought | mit-bringen | mitgebracht | bring | food drink dish
give +back, gave, given | zurück-geben, gibst, gibt | zurückgegeben | gib | lent machine
throw +away, threw, thrown | weg-werfen, wirfst, wirft | weggeworfen | wirf | flat text
try +on | an-probieren | anprobiert | probier | clothing
prepare | vor-bereiten | vorbereitet | bereite | planned
pack | ein-packen | eingepackt | pack | clothing flat
"""

DITRANSITIVE = """
give, gave, given | geben, gibst, gibt | gegeben | gib | lent clothing food present
show, showed, shown | zeigen | gezeigt | zeig | ware text building
send, sent, sent | schicken | geschickt | schick | text
bring, brought, brought | bringen | gebracht | bring | drink dish food
lend, lent, lent | leihen | geliehen | leih | lent machine clothing
tell, told, told | erzählen | erzählt | erzähl | tale
recommend | empfehlen, empfiehlst, empfiehlt | empfohlen | empfiehl | sight text
"""

DATIVE = """
help | helfen, hilfst, hilft | geholfen | hilf | person
thank | danken | gedankt | danke | person
answer | antworten | geantwortet | antworte | person
follow | folgen | sein gefolgt | folge | person animal
trust | vertrauen | vertraut | vertrau | person
congratulate | gratulieren | gratuliert | gratulier | person
listen to | zu-hören | zugehört | hör | person
"""

# After the participle comes the German preposition with the case it governs.
PREPOSITIONAL = """
wait for | warten | gewartet | warte | auf accusative person transport
think of, thought, thought | denken | gedacht | denk | an accusative person event
talk about | sprechen, sprichst, spricht | gesprochen | sprich | über accusative text event thought
laugh about | lachen | gelacht | lach | über accusative text thought
dream of | träumen | geträumt | träum | von dative event home
talk to | sprechen, sprichst, spricht | gesprochen | sprich | mit dative person
play with | spielen | gespielt | spiel | mit dative kin animal
take part in, took, taken | teil-nehmen, nimmst, nimmt | teilgenommen | nimm | an dative planned
"""

REFLEXIVE = """
be interested in | sich interessieren | interessiert | - | für accusative text animal event
look forward to | sich freuen | gefreut | - | auf accusative event
take care of, took, taken | sich kümmern | gekümmert | kümmer | um accusative person animal
remember | sich erinnern | erinnert | - | an accusative person event
complain about | sich beschweren | beschwert | - | über accusative food home event
hurry | sich beeilen | beeilt | beeil | -
rest | sich aus-ruhen | ausgeruht | ruh | -
get dressed, got, got | sich an-ziehen | angezogen | zieh | -
sit down, sat, sat | sich hin-setzen | hingesetzt | setz | -
"""

INTRANSITIVE = """
sleep, slept, slept | schlafen, schläfst, schläft | geschlafen | schlaf | -
work | arbeiten | gearbeitet | arbeite | -
dance | tanzen | getanzt | tanz | -
laugh | lachen | gelacht | lach | -
wait | warten | gewartet | warte | -
study | studieren | studiert | - | -
get up, got, got | auf-stehen | sein aufgestanden | steh | -
wake up, woke, woken | auf-wachen | sein aufgewacht | wach | -
fall asleep, fell, fallen | ein-schlafen, schläfst, schläft | sein eingeschlafen | schlaf | -
arrive | an-kommen | sein angekommen | - | -
come back, came, come | zurück-kommen | sein zurückgekommen | komm | -
come along, came, come | mit-kommen | sein mitgekommen | komm | -
go out, went, gone | aus-gehen | sein ausgegangen | - | -
go shopping, went, gone | ein-kaufen | eingekauft | kauf | -
watch television | fern-sehen, siehst, sieht | ferngesehen | sieh | -
"""

MOTION = """
go, went, gone | gehen | sein gegangen | geh | -
walk | laufen, läufst, läuft | sein gelaufen | lauf | -
drive, drove, driven | fahren, fährst, fährt | sein gefahren | fahr | -
travel, travelled, travelled | reisen | sein gereist | - | -
come, came, come | kommen | sein gekommen | komm | -
fly, flew, flown | fliegen | sein geflogen | - | -
"""

POSITION = """
lie, lay, lain | liegen | gelegen | - | flat
stand, stood, stood | stehen | gestanden | - | dish luggage
sit, sat, sat | sitzen | gesessen | - | person
live | wohnen | gewohnt | - | person
stay | bleiben | sein geblieben | bleib | person
put, put, put | legen | gelegt | leg | flat
place | stellen | gestellt | stell | dish luggage
"""

OTHERS = """
be, was, been | sein, bist, ist | sein gewesen | sei | -
have, had, had | haben, hast, hat | gehabt | - | ware
know, knew, known | wissen, weißt, weiß | gewusst | - | -
leave, left, left | ab-fahren, fährst, fährt | sein abgefahren | - | -
start | an-fangen, fängst, fängt | angefangen | - | -
cost, cost, cost | kosten | gekostet | - | -
belong to | gehören | gehört | - | -
say, said, said | sagen | gesagt | - | -
believe | glauben | geglaubt | - | -
hope | hoffen | gehofft | - | -
work | funktionieren | funktioniert | - | -
feel, felt, felt | sich fühlen | gefühlt | - | -
count | zählen | gezählt | zähl | -
last | dauern | gedauert | - | -
try | versuchen | versucht | - | -
promise | versprechen, versprichst, verspricht | versprochen | - | -
decide | beschließen | beschlossen | - | -
rain | regnen | geregnet | - | -
"""


@dataclass(frozen=True)
class Verb:
    """A verb in both languages. `frame` is how its object stands: "accusative", "auf accusative"."""

    english: str
    particle: str  # movable: "picks him up"
    tail: str  # fixed: "waits for him"
    past: str
    past_participle: str
    infinitive: str  # German, without the prefix
    prefix: str
    second: str
    third: str
    participle: str
    auxiliary: str
    imperative: str
    reflexive: bool
    frame: str
    classes: tuple[str, ...]

    @property
    def name(self) -> str:
        return " ".join(part for part in (self.english, self.particle, self.tail) if part)


def read_verb(line: str, frame: str) -> Verb:
    english, german, participle, imperative, goal = [field.strip() for field in line.split("|")]
    base, past, past_participle = [*english.split(", "), "", ""][:3]
    head, _, rest = base.partition(" ")
    infinitive, second, third = [*german.split(", "), "", ""][:3]
    prefix, _, stem = infinitive.removeprefix("sich ").rpartition("-")
    classes = goal.replace("-", "").split()
    if len(classes) > 1 and classes[1] in ("accusative", "dative"):
        frame, classes = " ".join(classes[:2]), classes[2:]
    return Verb(
        english=head,
        particle=rest.removeprefix("+") if rest.startswith("+") else "",
        tail="" if rest.startswith("+") else rest,
        past=past,
        past_participle=past_participle,
        infinitive=stem,
        prefix=prefix,
        second=second,
        third=third,
        participle=participle.split()[-1],
        auxiliary="sein" if participle.startswith("sein ") else "haben",
        imperative=imperative.replace("-", ""),
        reflexive=infinitive.startswith("sich "),
        frame=frame,
        classes=tuple(classes),
    )


def read_verbs(table: str, frame: str = "") -> tuple[Verb, ...]:
    return tuple(read_verb(line, frame) for line in table.strip().splitlines())
