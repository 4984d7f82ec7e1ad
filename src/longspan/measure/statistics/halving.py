"""Sequential halving: how many candidates may still be measured, when a budget does not allow to measure them all.

The budget is divided into ⌈log2 candidates⌉ equal stages. The first stage is for all candidates, the second for the
better half of them, the third for the best quarter … so that the last one compares two on many documents.

Source: Karnin, Koren & Somekh 2013, "Almost optimal exploration in multi-armed bandits", ICML, algorithm 1.
Differs from the paper: later stages count what earlier ones have measured; what a stage leaves over goes to the next
ones; where the budget suffices for every document nothing is halved.
"""

from math import ceil, log2


class Halving:
    """The stages of one budget.

    Arguments:
        candidates, documents: how many there are.
        budget: how many readings are allowed, one for each candidate and document.

    >>> halving = Halving(candidates=4, documents=10, budget=12)
    >>> halving.places(read=0, alive=4, used=0), halving.places(read=1, alive=4, used=4)
    (4, 2)
    """

    def __init__(self, candidates: int, documents: int, budget: float) -> None:
        self.candidates, self.documents, self.budget = candidates, documents, budget
        self.stages = max(1, ceil(log2(candidates)))
        self.stage, self.stop = 0, 0

    def places(self, read: int, alive: int, used: int) -> int:
        """Return how many candidates may read the next document; to be asked once before each document.

        Arguments:
            read: documents that were read.
            alive: candidates that are left.
            used: readings that were made.
        """
        left = self.budget - used
        if left >= alive * (self.documents - read):
            return alive
        if read == self.stop and self.stage < self.stages:
            alive = min(alive, ceil(self.candidates / 2**self.stage))
            share = left / (self.stages - self.stage)
            self.stage += 1
            self.stop = read + max(1, int(share // max(1, alive)))
        return max(0, int(min(alive, left)))
