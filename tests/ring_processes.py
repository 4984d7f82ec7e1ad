"""What each process of a ring test does: attend with its part of a sequence, forward and backward."""

import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from longspan.compute.places import places
from longspan.compute.ring.ring import Ring
from longspan.compute.ring.sequence import Shared
from longspan.compute.ring.zigzag import Zigzag
from longspan.notation import parse


def work(rank: int, ranks: int, folder: str, given: dict[str, Any]) -> None:
    """Join the group, attend for each scheme, and write what came out."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    torch.set_num_threads(1)
    try:
        for number, (text, packed) in enumerate(zip(given["schemes"], given["packed"], strict=True)):
            length = given["query"].shape[2]
            zigzag = Zigzag(ranks, length)
            shared = Shared(zigzag, places(length, length, documents=given["documents"])[1]) if packed else None
            own = zigzag.orders(rank)
            leaves = [given[name][:, :, own].clone().requires_grad_() for name in ("query", "key", "value")]
            query, key, value = leaves
            weights = {name: value.clone().requires_grad_() for name, value in given["weights"][number].items()}
            ring = Ring(parse(text), zigzag)
            out = ring.attend(query, key, value, weights, scale=given["scale"], shared=shared)
            out.backward(given["gradient"][:, :, own])
            made = {"out": out.detach(), "sent": dict(ring.bytes_sent)}
            made |= {name: x.grad for name, x in zip(("query", "key", "value"), leaves, strict=True)}
            made |= {name: x.grad for name, x in weights.items()}
            torch.save(made, Path(folder) / f"{number}-{rank}.pt")
    finally:
        dist.destroy_process_group()
