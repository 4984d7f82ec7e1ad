"""Needles that share no word with their question: only knowledge about the world connects the two.

    Clara has a flat with a view of the Colosseum. … Which person lives in Italy? → Clara

Search for the question's words finds nothing. A model must know where a sight is (one hop), or in which country that
city is (two hops), and attend by meaning. Four people have a sight each, so that names alone do not answer.
Chance is 1 in 4.

Source: Modarressi et al. 2025, NoLiMa, arXiv:2502.05167. Needles and questions are our own.
"""

from dataclasses import dataclass

from longspan.errors import InputError
from longspan.prompts.example import Draft
from longspan.prompts.filler import Amount
from longspan.prompts.needles import Haystack, Noise, insert
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import OnlyOne
from longspan.prompts.task import PromptTask, Request
from longspan.prompts.words import name_pool

BEFORE = "Read the text; a question about people follows.\n"
NEEDLE = "{who} has a flat with a view of the {sight}."
QUESTION = "\nQuestion: Which person lives in {where}? Answer with the name only.\nAnswer:"
PEOPLE = 4
SIGHTS = (
    ("Eiffel Tower", "Paris", "France"),
    ("Colosseum", "Rome", "Italy"),
    ("Brandenburg Gate", "Berlin", "Germany"),
    ("Acropolis", "Athens", "Greece"),
    ("Kremlin", "Moscow", "Russia"),
    ("Sagrada Familia", "Barcelona", "Spain"),
    ("Little Mermaid", "Copenhagen", "Denmark"),
    ("Forbidden City", "Beijing", "China"),
    ("Statue of Liberty", "New York", "the United States"),
    ("Great Sphinx", "Cairo", "Egypt"),
    ("Blue Mosque", "Istanbul", "Turkey"),
    ("Taj Mahal", "Agra", "India"),
    ("Sugarloaf Mountain", "Rio de Janeiro", "Brazil"),
    ("Harbour Bridge and the Bondi surfers", "Sydney", "Australia"),
    ("cable cars of Table Mountain", "Cape Town", "South Africa"),
    ("Houses of Parliament and Big Ben", "London", "England"),
)
"""A sight, its city and its country; no word occurs twice in a row."""


@dataclass(frozen=True)
class Associations(PromptTask):
    """A question about a city or a country, answered by a sight.

    Arguments:
        hops: 1 asks for the city of a sight, 2 for the country.
        haystack: what surrounds the needles.
    """

    generated = 8

    hops: int = 1
    haystack: Haystack = Noise()

    def __post_init__(self) -> None:
        """Refuse settings that make no example.

        Errors: InputError.
        """
        self.require(self.hops in (1, 2), "hops", "1 (city) or 2 (country)")

    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """Hide four people with their sights and ask about one.

        Errors: InputError for a text that contains almost all first names.
        """
        generator = request.generator()
        people = name_pool(generator, request.text, PEOPLE)
        if len(people) < PEOPLE:
            raise InputError(f"the text contains all but {len(people)} of the first names: give another text")
        sights = generator.sample(SIGHTS, PEOPLE)
        asked = generator.randrange(PEOPLE)
        depths = [generator.random() for _ in sights]
        pieces = self.haystack.pieces(request.text, amount, iter(()))
        if pieces is None:
            return None
        needles = [
            NEEDLE.format(who=who, sight=sight[0]) + self.haystack.after
            for who, sight in zip(people, sights, strict=True)
        ]
        context, where = insert(pieces, needles, depths)
        prompt = Prompt(BEFORE, tuple(context), QUESTION.format(where=sights[asked][self.hops]), (where[asked],))
        return Draft(prompt, (people[asked],), OnlyOne(tuple(people)), tuple(people))
