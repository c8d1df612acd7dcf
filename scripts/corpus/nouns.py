"""The nouns, as tables that read like a dictionary: English, German, and what sort of thing it is.

One line is `english, plural | article German, genitive, plural | classes`. The plurals are `-` where a noun
has none. A fourth field is the accusative and dative singular where it differs from the nominative (`den
Nachbarn`). The classes say which verbs and adjectives make sense with a noun.
"""

from dataclasses import dataclass
from functools import cache

PEOPLE = """
man, men | der Mann, Mannes, Männer | person
woman, women | die Frau, Frau, Frauen | person
child, children | das Kind, Kindes, Kinder | person
girl, girls | das Mädchen, Mädchens, Mädchen | person
boy, boys | der Junge, Jungen, Jungen | person | Jungen
teacher, teachers | der Lehrer, Lehrers, Lehrer | person worker
doctor, doctors | der Arzt, Arztes, Ärzte | person worker
nurse, nurses | die Krankenschwester, Krankenschwester, Krankenschwestern | person worker
neighbour, neighbours | der Nachbar, Nachbarn, Nachbarn | person | Nachbarn
student, students | der Student, Studenten, Studenten | person | Studenten
colleague, colleagues | der Kollege, Kollegen, Kollegen | person | Kollegen
guest, guests | der Gast, Gastes, Gäste | person
tourist, tourists | der Tourist, Touristen, Touristen | person | Touristen
driver, drivers | der Fahrer, Fahrers, Fahrer | person worker
baker, bakers | der Bäcker, Bäckers, Bäcker | person worker
farmer, farmers | der Bauer, Bauern, Bauern | person worker | Bauern
engineer, engineers | der Ingenieur, Ingenieurs, Ingenieure | person worker
friend, friends | der Freund, Freundes, Freunde | person kin
brother, brothers | der Bruder, Bruders, Brüder | person kin
sister, sisters | die Schwester, Schwester, Schwestern | person kin
son, sons | der Sohn, Sohnes, Söhne | person kin
daughter, daughters | die Tochter, Tochter, Töchter | person kin
uncle, uncles | der Onkel, Onkels, Onkel | person kin
aunt, aunts | die Tante, Tante, Tanten | person kin
mother, - | die Mutter, Mutter, - | person kin
father, - | der Vater, Vaters, - | person kin
grandmother, - | die Großmutter, Großmutter, - | person kin
grandfather, - | der Großvater, Großvaters, - | person kin
"""

ANIMALS = """
dog, dogs | der Hund, Hundes, Hunde | animal
cat, cats | die Katze, Katze, Katzen | animal
horse, horses | das Pferd, Pferdes, Pferde | animal
bird, birds | der Vogel, Vogels, Vögel | animal
cow, cows | die Kuh, Kuh, Kühe | animal
sheep, - | das Schaf, Schafes, - | animal
"""

TEXTS = """
book, books | das Buch, Buches, Bücher | text ware flat lent
letter, letters | der Brief, Briefes, Briefe | text written flat
newspaper, newspapers | die Zeitung, Zeitung, Zeitungen | text flat
novel, novels | der Roman, Romans, Romane | text written
report, reports | der Bericht, Berichts, Berichte | text written
article, articles | der Artikel, Artikels, Artikel | text written
story, stories | die Geschichte, Geschichte, Geschichten | text written tale
poem, poems | das Gedicht, Gedichts, Gedichte | text written tale
message, messages | die Nachricht, Nachricht, Nachrichten | text written
postcard, postcards | die Postkarte, Postkarte, Postkarten | text written flat
"""

FOOD = """
apple, apples | der Apfel, Apfels, Äpfel | food whole sugary
pear, pears | die Birne, Birne, Birnen | food whole sugary
potato, potatoes | die Kartoffel, Kartoffel, Kartoffeln | food whole cooked
tomato, tomatoes | die Tomate, Tomate, Tomaten | food whole
egg, eggs | das Ei, Eies, Eier | food whole cooked
cake, cakes | der Kuchen, Kuchens, Kuchen | food whole sugary baked
bread, - | das Brot, Brotes, - | food baked mass
cheese, - | der Käse, Käses, - | food mass
fish, - | der Fisch, Fisches, - | food whole cooked
soup, soups | die Suppe, Suppe, Suppen | food cooked
salad, salads | der Salat, Salats, Salate | food
coffee, - | der Kaffee, Kaffees, - | drink mass
tea, - | der Tee, Tees, - | drink sugary mass
milk, - | die Milch, Milch, - | drink mass
water, - | das Wasser, Wassers, - | drink mass
juice, - | der Saft, Saftes, - | drink sugary mass
beer, - | das Bier, Bieres, - | drink mass
"""

THINGS = """
key, keys | der Schlüssel, Schlüssels, Schlüssel | ware flat lent
bag, bags | die Tasche, Tasche, Taschen | ware luggage lent
suitcase, suitcases | der Koffer, Koffers, Koffer | ware luggage lent
box, boxes | die Kiste, Kiste, Kisten | luggage
umbrella, umbrellas | der Regenschirm, Regenschirms, Regenschirme | ware lent
gift, gifts | das Geschenk, Geschenks, Geschenke | ware present
picture, pictures | das Bild, Bildes, Bilder | ware present
knife, knives | das Messer, Messers, Messer | ware flat lent
ball, balls | der Ball, Balls, Bälle | ware lent
cup, cups | die Tasse, Tasse, Tassen | ware dish
glass, glasses | das Glas, Glases, Gläser | ware dish
plate, plates | der Teller, Tellers, Teller | ware dish
bottle, bottles | die Flasche, Flasche, Flaschen | dish
table, tables | der Tisch, Tisches, Tische | ware furniture
chair, chairs | der Stuhl, Stuhls, Stühle | ware furniture
bed, beds | das Bett, Bettes, Betten | ware furniture
cupboard, cupboards | der Schrank, Schranks, Schränke | ware furniture
door, doors | die Tür, Tür, Türen | opening
window, windows | das Fenster, Fensters, Fenster | opening
lamp, lamps | die Lampe, Lampe, Lampen | ware machine electric shining
clock, clocks | die Uhr, Uhr, Uhren | ware machine
camera, cameras | die Kamera, Kamera, Kameras | ware machine electric
computer, computers | der Computer, Computers, Computer | ware machine electric
telephone, telephones | das Telefon, Telefons, Telefone | ware machine
bicycle, bicycles | das Fahrrad, Fahrrads, Fahrräder | ware machine
car, cars | das Auto, Autos, Autos | ware machine vehicle
coat, coats | der Mantel, Mantels, Mäntel | ware clothing
jacket, jackets | die Jacke, Jacke, Jacken | ware clothing
shirt, shirts | das Hemd, Hemdes, Hemden | ware clothing
dress, dresses | das Kleid, Kleides, Kleider | ware clothing
hat, hats | der Hut, Hutes, Hüte | ware clothing
shoe, shoes | der Schuh, Schuhs, Schuhe | ware clothing
bus, buses | der Bus, Busses, Busse | vehicle transport
train, trains | der Zug, Zuges, Züge | vehicle transport
ship, ships | das Schiff, Schiffes, Schiffe | vehicle transport
tram, trams | die Straßenbahn, Straßenbahn, Straßenbahnen | vehicle transport
ticket, tickets | die Fahrkarte, Fahrkarte, Fahrkarten | flat paid
bill, bills | die Rechnung, Rechnung, Rechnungen | paid
"""

IDEAS = """
question, questions | die Frage, Frage, Fragen | thought
answer, answers | die Antwort, Antwort, Antworten | thought
word, words | das Wort, Wortes, Wörter | thought
problem, problems | das Problem, Problems, Probleme | thought task
exercise, exercises | die Übung, Übung, Übungen | thought task
plan, plans | der Plan, Plans, Pläne | thought
idea, ideas | die Idee, Idee, Ideen | thought
language, languages | die Sprache, Sprache, Sprachen | studied
song, songs | das Lied, Liedes, Lieder | studied tune
film, films | der Film, Films, Filme | event
concert, concerts | das Konzert, Konzerts, Konzerte | event planned
party, parties | die Feier, Feier, Feiern | event planned
journey, journeys | die Reise, Reise, Reisen | event planned
meeting, meetings | die Sitzung, Sitzung, Sitzungen | event planned
course, courses | der Kurs, Kurses, Kurse | event planned
birthday, birthdays | der Geburtstag, Geburtstags, Geburtstage | occasion
weather, - | das Wetter, Wetters, - | weather
rain, - | der Regen, Regens, - | weather
page, pages | die Seite, Seite, Seiten | counted
exam, exams | die Prüfung, Prüfung, Prüfungen | event planned
"""

PLACES = """
house, houses | das Haus, Hauses, Häuser | building home
flat, flats | die Wohnung, Wohnung, Wohnungen | room home
room, rooms | das Zimmer, Zimmers, Zimmer | room home
kitchen, kitchens | die Küche, Küche, Küchen | room
cellar, cellars | der Keller, Kellers, Keller | room
garden, gardens | der Garten, Gartens, Gärten | area
park, parks | der Park, Parks, Parks | area
forest, forests | der Wald, Waldes, Wälder | area
village, villages | das Dorf, Dorfes, Dörfer | area sight
city, cities | die Stadt, Stadt, Städte | area sight
street, streets | die Straße, Straße, Straßen | area
market, markets | der Markt, Marktes, Märkte | area
beach, beaches | der Strand, Strandes, Strände | area
lake, lakes | der See, Sees, Seen | area
mountain, mountains | der Berg, Berges, Berge | area
bridge, bridges | die Brücke, Brücke, Brücken | building
school, schools | die Schule, Schule, Schulen | building
church, churches | die Kirche, Kirche, Kirchen | building sight
castle, castles | das Schloss, Schlosses, Schlösser | building sight
museum, museums | das Museum, Museums, Museen | building sight
library, libraries | die Bibliothek, Bibliothek, Bibliotheken | building
theatre, theatres | das Theater, Theaters, Theater | building
cinema, cinemas | das Kino, Kinos, Kinos | building
restaurant, restaurants | das Restaurant, Restaurants, Restaurants | building
hotel, hotels | das Hotel, Hotels, Hotels | building
bakery, bakeries | die Bäckerei, Bäckerei, Bäckereien | building
pharmacy, pharmacies | die Apotheke, Apotheke, Apotheken | building
supermarket, supermarkets | der Supermarkt, Supermarkts, Supermärkte | building
hospital, hospitals | das Krankenhaus, Krankenhauses, Krankenhäuser | building
office, offices | das Büro, Büros, Büros | building
factory, factories | die Fabrik, Fabrik, Fabriken | building
station, stations | der Bahnhof, Bahnhofs, Bahnhöfe | building
airport, airports | der Flughafen, Flughafens, Flughäfen | building
university, universities | die Universität, Universität, Universitäten | building
"""

TIMES = """
minute, minutes | die Minute, Minute, Minuten | time
hour, hours | die Stunde, Stunde, Stunden | time
day, days | der Tag, Tages, Tage | time
week, weeks | die Woche, Woche, Wochen | time
month, months | der Monat, Monats, Monate | time
year, years | das Jahr, Jahres, Jahre | time
"""

GENDERS = {"der": "masculine", "die": "feminine", "das": "neuter"}


@dataclass(frozen=True)
class Noun:
    """A noun in both languages; `oblique` is the German accusative and dative singular."""

    english: str
    english_plural: str
    german: str
    german_plural: str
    genitive: str
    oblique: str
    gender: str
    classes: tuple[str, ...]

    @property
    def countable(self) -> bool:
        return self.english_plural != "-"


def read_noun(line: str) -> Noun:
    english, german, classes, *oblique = [field.strip() for field in line.split("|")]
    singular, english_plural = english.split(", ")
    headword, genitive, german_plural = german.split(", ")
    article, nominative = headword.split()
    return Noun(
        english=singular,
        english_plural=english_plural,
        german=nominative,
        german_plural=german_plural,
        genitive=genitive,
        oblique=oblique[0] if oblique else nominative,
        gender=GENDERS[article],
        classes=tuple(classes.split()),
    )


TABLES = (PEOPLE, ANIMALS, TEXTS, FOOD, THINGS, IDEAS, PLACES, TIMES)
NOUNS = tuple(read_noun(line) for table in TABLES for line in table.strip().splitlines())
NOUN = {noun.english: noun for noun in NOUNS}


@cache
def nouns_of(*classes: str) -> tuple[Noun, ...]:
    """The nouns that belong to at least one of the classes, in the order of the tables."""
    return tuple(noun for noun in NOUNS if any(name in noun.classes for name in classes))
