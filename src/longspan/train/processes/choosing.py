"""From the processes of a run to the engine that runs its objective."""

from longspan.train.forward import Objective
from longspan.train.processes.engine import Alone, Engine
from longspan.train.processes.group import Processes
from longspan.train.processes.replicated import Replicated
from longspan.train.processes.sequences import Sequences
from longspan.train.processes.sharded import Sharded


def engine_of(objective: Objective, processes: Processes) -> tuple[Engine, Sequences | None]:
    """Return the engine of an objective whose model lies on the CPU, and the sequences that processes share, if any.

    Errors: RefusalError for a model that cannot share sequences.
    """
    sequences = None
    if processes.context > 1:
        sequences = Sequences(processes)
        sequences.share(objective.model)
    if processes.weights is not None:  # it moves one layer after the other: a device need not hold all weights
        return Sharded(objective, processes), sequences
    objective.to(processes.device)
    return (Alone(objective) if processes.count == 1 else Replicated(objective, processes)), sequences
