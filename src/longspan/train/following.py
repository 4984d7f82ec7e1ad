"""What follows the inputs of layers while they are trained, and takes no gradient: the codebooks of mixers."""

import torch
from torch import Tensor, nn

from longspan.pretrained.mixing import mixer_modules
from longspan.slots import FollowingMixer
from longspan.train.processes.engine import shared_like, whole
from longspan.train.processes.group import Processes


class Following:
    """The layers of a model whose mixers have numbers that follow what they read.

    Arguments:
        model: with its design.
    """

    def __init__(self, model: nn.Module) -> None:
        found = [(module, module.mixer) for module in mixer_modules(model)]
        self._layers = [(module, mixer, list[Tensor]()) for module, mixer in found if isinstance(mixer, FollowingMixer)]

    def collect(self) -> None:
        """Take what the layers read in the last forward pass."""
        for module, _, seen in self._layers:
            assert module.observed is not None  # the layer is in training and has read
            seen.append(module.observed.detach())
            module.observed = module.penalty = None

    @torch.no_grad()
    def update(self, seed: int, processes: Processes) -> None:
        """Move the numbers that follow by what all processes have collected since the last update.

        Arguments:
            seed: of what is drawn.
        """
        for number, (module, mixer, seen) in enumerate(self._layers):
            generator = torch.Generator().manual_seed((seed + number) % 2**63)
            vectors = torch.cat([processes.gathered(part) for part in seen])
            present = {name: whole(parameter) for name, parameter in module.following.items()}
            for name, value in mixer.followed(vectors, present, generator).items():
                module.following[name].copy_(shared_like(value, module.following[name]))
            seen.clear()
