"""Worlds in prose: where somebody or something is after a few events, hidden between other sentences.

    Clara went into the kitchen. … Clara picked up the biscuit. … Clara walked to the garden.
    Where is the biscuit now? → garden

A model must combine one, two or three facts; other people do the same with other things.

    one fact      where a person is                          the last move
    two facts     where a thing is                           who took it, and the last move
    three facts   where a thing was before the last place    who took it, and the last two moves

Chance is 1 in 8, the number of places.

Source: Weston et al. 2015, bAbI, arXiv:1502.05698, tasks 1 to 3; Kuratov et al. 2024, BABILong, arXiv:2406.10149, which
hides them in books. Wording, names and places are our own.
"""

import random
from dataclasses import dataclass

from longspan import bundled
from longspan.errors import InputError
from longspan.prompts.example import Draft
from longspan.prompts.filler import Amount
from longspan.prompts.needles import Haystack, Noise, insert
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import OnlyOne
from longspan.prompts.task import PromptTask, Request
from longspan.prompts.words import name_pool

PLACES = ("attic", "cellar", "garden", "kitchen", "library", "museum", "office", "stable")
MOVES = ("{who} went into the {where}.", "{who} walked to the {where}.", "{who} hurried to the {where}.")
TAKES = ("{who} picked up the {what}.", "{who} took the {what} along.")
BEFORE = "Read the text and remember who goes where and who takes what.\n"
PEOPLE = 4
"""People in a world, each with a thing of their own."""


@dataclass(frozen=True)
class Worlds(PromptTask):
    """A question about a world.

    Arguments:
        facts: 1 … 3, how many have to be combined.
        moves: moves of each person, at least 2 and `facts`, at most 1000.
        haystack: what surrounds the events.
    """

    generated = 8

    facts: int = 1
    moves: int = 3
    haystack: Haystack = Noise()

    def __post_init__(self) -> None:
        """Refuse settings that make no example.

        Errors: InputError.
        """
        self.require_between(1, 3, "facts")
        self.require_between(max(2, self.facts), 1000, "moves")

    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """Hide what four people do and ask about one.

        Errors: InputError for a text that contains almost all first names.
        """
        generator = request.generator()
        people = name_pool(generator, request.text, PEOPLE)
        if len(people) < PEOPLE:
            raise InputError(f"the text contains all but {len(people)} of the first names: give another text")
        things = generator.sample(bundled.words().values, PEOPLE)
        stories = [self._story(generator, *pair) for pair in zip(people, things, strict=True)]
        asked = generator.randrange(PEOPLE)
        events, support = _interleaved(generator, [story for story, _ in stories], asked, self.facts)
        depths = sorted(generator.random() for _ in events)
        pieces = self.haystack.pieces(request.text, amount, iter(()))
        if pieces is None:
            return None
        context, where = insert(pieces, [event + self.haystack.after for event in events], depths)
        places = stories[asked][1]
        question, answer = (
            (f"Where is {people[asked]} now?", places[-1]),
            (f"Where is the {things[asked]} now?", places[-1]),
            (f"Where was the {things[asked]} before it came to the {places[-1]}?", places[-2]),
        )[self.facts - 1]
        prompt = Prompt(
            BEFORE,
            tuple(context),
            f"\nQuestion: {question} Answer with one word.\nAnswer: the",
            tuple(where[i] for i in support),
        )
        return Draft(prompt, (answer,), OnlyOne(PLACES), PLACES)

    def _story(self, generator: random.Random, who: str, what: str) -> tuple[list[str], list[str]]:
        """What a person does, the needed events last: the first of them takes the thing. And the places, in order."""
        places = [generator.choice(PLACES)]
        while len(places) < self.moves:
            places.append(generator.choice([place for place in PLACES if place != places[-1]]))
        events = [generator.choice(MOVES).format(who=who, where=place) for place in places]
        taken = self.moves - max(1, self.facts - 1)
        events.insert(taken, generator.choice(TAKES).format(who=who, what=what))
        return events, places


def _interleaved(
    generator: random.Random, stories: list[list[str]], asked: int, facts: int
) -> tuple[list[str], list[int]]:
    """All events, those of one person in their order; and where the last `facts` events of the asked one are."""
    acting = [person for person, events in enumerate(stories) for _ in events]
    generator.shuffle(acting)
    left = [iter(events) for events in stories]
    return [next(left[person]) for person in acting], [i for i, p in enumerate(acting) if p == asked][-facts:]
