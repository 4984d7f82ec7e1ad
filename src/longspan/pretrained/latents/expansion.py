"""Which attention modules cache latents (MLA), found by watching one expand some random numbers.

transformers' families of latent attention cache the latent and the rotated key, and expand both to keys and values of
all heads in each call, in a method of their own. Where that method is the one matrix product that it seems to be,
attention can be computed on latents (`longspan.compute.latent`).
"""

import torch
from torch import Tensor, nn

from longspan.compute.latent import Expansion, LatentWidths

EXPAND = "expand_kv"
"""The method that makes keys and values of latents."""
PROJECTION = "kv_b_proj"
"""The linear layer that it does so with."""
ALLOWED = {torch.float32: 1e-4, torch.float64: 1e-4, torch.bfloat16: 3e-2, torch.float16: 4e-3}
"""The difference up to which both count as equal, in units of the largest number, by the type of the weights."""
TOKENS = 3


def latent_widths(module: nn.Module) -> LatentWidths | None:
    """Return the widths of a module that caches latents; None for any other, or where it does more than a product."""
    projection = getattr(module, PROJECTION, None)
    numbers = [getattr(module, name, None) for name in ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim")]
    numbers.append(getattr(module, "v_head_dim", None))
    expand = getattr(type(module), EXPAND, None)
    if expand is None or not all(isinstance(number, int) for number in numbers):
        return None
    widths = LatentWidths(*numbers)  # pyright: ignore[reportArgumentType]
    expansion = expansion_of(projection, widths)
    return widths if expansion is not None and _is_product(module, expand, expansion, widths) else None


def expansion_of(projection: object, widths: LatentWidths) -> Expansion | None:
    """Return the weights of a projection; None where it does more than multiply, or has its weights elsewhere."""
    if type(projection) is not nn.Linear or projection.bias is not None or hasattr(projection, "_hf_hook"):
        return None
    weight = projection.weight
    if weight.is_meta or weight.dtype not in ALLOWED or projection._forward_hooks or projection._forward_pre_hooks:
        return None
    return Expansion.of(weight, widths.content, widths.value)


@torch.no_grad()
def _is_product(module: nn.Module, expand: object, expansion: Expansion, widths: LatentWidths) -> bool:
    weight = expansion.key
    generator = torch.Generator().manual_seed(0)
    latent, key = (
        torch.randn(1, 1, TOKENS, size, generator=generator).to(weight.device, weight.dtype)
        for size in (widths.latent, widths.rotary)
    )
    found: tuple[Tensor, Tensor] = expand(module, latent, key)  # pyright: ignore[reportCallIssue]
    content, values = expansion.expand(latent[:, 0])
    keys = torch.cat([content, key.expand(-1, content.shape[1], -1, -1)], -1)
    return all(
        a.shape == b.shape and float((a - b).abs().max()) <= ALLOWED[weight.dtype] * float(b.abs().max())
        for a, b in zip(found, (keys, values), strict=True)
    )
