"""Adjectives, names, places and adverbials, as tables that pair English with German."""

from dataclasses import dataclass
from functools import cache

# english, comparative, superlative (or: english, more) | German, comparative, superlative stem | noun classes
ADJECTIVES = """
old, older, oldest | alt, älter, ältest | person animal text ware luggage opening vehicle building home paid
new, newer, newest | neu, neuer, neuest | text ware luggage opening vehicle building thought event paid
young, younger, youngest | jung, jünger, jüngst | person animal
big, bigger, biggest | groß, größer, größt | animal ware luggage opening vehicle building area room whole task
small, smaller, smallest | klein, kleiner, kleinst | animal ware luggage opening building area room whole task
long, longer, longest | lang, länger, längst | text event tune
short, shorter, shortest | kurz, kürzer, kürzest | text event tune
good, better, best | gut, besser, best | person text food drink ware thought event tune
expensive, more | teuer, teurer, teuerst | ware food drink home event paid
cheap, cheaper, cheapest | billig, billiger, billigst | ware food drink home paid
beautiful, more | schön, schöner, schönst | animal ware building area room studied text event
modern, more | modern, moderner, modernst | machine building vehicle
heavy, heavier, heaviest | schwer, schwerer, schwerst | luggage furniture machine
light, lighter, lightest | leicht, leichter, leichtest | luggage clothing
difficult, more | schwierig, schwieriger, schwierigst | thought task studied text event
simple, simpler, simplest | einfach, einfacher, einfachst | thought task text
important, more | wichtig, wichtiger, wichtigst | thought task text event
interesting, more | interessant, interessanter, interessantest | person text event sight studied
boring, more | langweilig, langweiliger, langweiligst | text event tune
famous, more | berühmt, berühmter, berühmtest | person sight text tune
friendly, friendlier, friendliest | freundlich, freundlicher, freundlichst | person
nice, nicer, nicest | nett, netter, nettest | person
rich, richer, richest | reich, reicher, reichst | person
strong, stronger, strongest | stark, stärker, stärkst | person animal
polite, more | höflich, höflicher, höflichst | person
patient, more | geduldig, geduldiger, geduldigst | person
clever, cleverer, cleverest | klug, klüger, klügst | person animal
fast, faster, fastest | schnell, schneller, schnellst | vehicle animal
slow, slower, slowest | langsam, langsamer, langsamst | vehicle animal
clean, cleaner, cleanest | sauber, sauberer, sauberst | dish clothing room opening
dirty, dirtier, dirtiest | schmutzig, schmutziger, schmutzigst | dish clothing room opening area
warm, warmer, warmest | warm, wärmer, wärmst | cooked drink clothing room
cold, colder, coldest | kalt, kälter, kältest | cooked drink room
hot, hotter, hottest | heiß, heißer, heißest | cooked drink
fresh, fresher, freshest | frisch, frischer, frischest | food mass
sweet, sweeter, sweetest | süß, süßer, süßest | sugary
quiet, quieter, quietest | ruhig, ruhiger, ruhigst | area room home person
dark, darker, darkest | dunkel, dunkler, dunkelst | room area
bright, brighter, brightest | hell, heller, hellst | room shining
red, - | rot, - | clothing ware opening vehicle dish luggage
blue, - | blau, - | clothing ware opening vehicle dish luggage
green, - | grün, - | clothing ware opening vehicle dish luggage
black, - | schwarz, - | clothing ware animal vehicle luggage
white, - | weiß, - | clothing ware animal dish building
brown, - | braun, - | clothing animal luggage furniture
yellow, - | gelb, - | clothing ware vehicle dish opening
"""

# No two of a group are said of one thing.
OPPOSITES = (
    "red blue green black white brown yellow", "old new young modern", "big small", "long short",
    "expensive cheap", "heavy light", "difficult simple", "interesting boring", "fast slow", "clean dirty",
    "warm cold hot", "dark bright", "good boring",
)  # fmt: skip

# Said of people after "is" and "feels", not before a noun.
MOODS = """
tired | müde
happy | glücklich
sad | traurig
ill | krank
healthy | gesund
satisfied | zufrieden
angry | wütend
lonely | einsam
"""

# name | gender
NAMES = """
Anna | feminine
Maria | feminine
Julia | feminine
Lisa | feminine
Emma | feminine
Laura | feminine
Sophie | feminine
Peter | masculine
Paul | masculine
Martin | masculine
David | masculine
Jan | masculine
Simon | masculine
Tom | masculine
"""

SURNAMES = ("Weber", "Schmidt", "Becker", "Wagner", "Hoffmann", "Schulz", "Fischer", "Richter")
TITLES = (("Mr.", "Herr"), ("Mrs.", "Frau"))

CITIES = """
Berlin | Berlin
Hamburg | Hamburg
Munich | München
Cologne | Köln
Vienna | Wien
Zurich | Zürich
Prague | Prag
Rome | Rom
Paris | Paris
London | London
Dresden | Dresden
Leipzig | Leipzig
Italy | Italien
France | Frankreich
Spain | Spanien
Austria | Österreich
"""

LANGUAGES = """
German | Deutsch
English | Englisch
French | Französisch
Italian | Italienisch
Spanish | Spanisch
"""

# english noun | its preposition of place | German one, with dative | German one of direction and its case
PLACES = """
park | in | in | in accusative
garden | in | in | in accusative
forest | in | in | in accusative
village | in | in | in accusative
city | in | in | in accusative
kitchen | in | in | in accusative
cellar | in | in | in accusative
school | at | in | in accusative
church | in | in | in accusative
castle | in | in | zu dative
museum | in | in | in accusative
library | in | in | in accusative
theatre | in | in | in accusative
cinema | in | in | in accusative
restaurant | in | in | in accusative
hotel | in | in | in accusative
bakery | in | in | zu dative
pharmacy | in | in | zu dative
supermarket | in | in | in accusative
hospital | in | in | in accusative
office | in | in | in accusative
factory | in | in | in accusative
market | at | auf | auf accusative
bridge | on | auf | zu dative
beach | at | an | an accusative
lake | at | an | an accusative
station | at | an | zu dative
airport | at | an | zu dative
university | at | an | zu dative
"""

# Adverbials that tell the tense apart: none of them occurs in two of these tables.
PAST_TIMES = """
yesterday | gestern
the day before yesterday | vorgestern
last week | letzte Woche
last month | letzten Monat
last year | letztes Jahr
yesterday evening | gestern Abend
last Saturday | letzten Samstag
last Sunday | letzten Sonntag
"""

FUTURE_TIMES = """
tomorrow | morgen
the day after tomorrow | übermorgen
next week | nächste Woche
next month | nächsten Monat
next year | nächstes Jahr
tomorrow evening | morgen Abend
next Saturday | nächsten Samstag
next Sunday | nächsten Sonntag
soon | bald
"""

PRESENT_TIMES = """
today | heute
every day | jeden Tag
every week | jede Woche
every evening | jeden Abend
every morning | jeden Morgen
in the morning | am Morgen
in the afternoon | am Nachmittag
in the evening | am Abend
at the weekend | am Wochenende
at night | in der Nacht
"""

WEEKDAYS = """
Monday | Montag
Tuesday | Dienstag
Wednesday | Mittwoch
Thursday | Donnerstag
Friday | Freitag
Saturday | Samstag
Sunday | Sonntag
"""

SEASONS = """
in spring | im Frühling
in summer | im Sommer
in autumn | im Herbst
in winter | im Winter
"""

FREQUENCIES = """
often | oft
always | immer
sometimes | manchmal
usually | meistens
never | nie
rarely | selten
"""

MANNERS = """
slowly | langsam
quickly | schnell
carefully | vorsichtig
quietly | leise
alone | allein
together | zusammen
"""

MEANS = """
by train | mit dem Zug
by bus | mit dem Bus
by car | mit dem Auto
by bicycle | mit dem Fahrrad
by ship | mit dem Schiff
by tram | mit der Straßenbahn
"""


@dataclass(frozen=True)
class Adjective:
    english: str
    comparative: str
    superlative: str
    german: str
    german_comparative: str
    german_superlative: str
    classes: tuple[str, ...]


def read_adjective(line: str) -> Adjective:
    english, german, classes = [field.strip() for field in line.split("|")]
    base, comparative, superlative = [*english.replace("-", "").split(", "), "", ""][:3]
    if comparative == "more":
        comparative, superlative = f"more {base}", f"most {base}"
    german_base, german_comparative, german_superlative = [*german.replace("-", "").split(", "), ""][:3]
    return Adjective(
        english=base,
        comparative=comparative.strip(),
        superlative=superlative,
        german=german_base,
        german_comparative=german_comparative.strip(),
        german_superlative=german_superlative,
        classes=tuple(classes.split()),
    )


@cache
def read_pairs(table: str) -> tuple[tuple[str, str], ...]:
    rows = [line.split(" | ") for line in table.strip().splitlines()]
    return tuple((english, german) for english, german in rows)


ADJECTIVE = {adjective.english: adjective for adjective in map(read_adjective, ADJECTIVES.strip().splitlines())}
