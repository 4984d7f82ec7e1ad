"""No architecture's packed document depends on the other documents of its row, or training refuses the architecture."""

from pathlib import Path
from typing import Any

import pytest
import torch

from longspan.errors import RefusalError
from longspan.train.data.batch import Batch
from longspan.train.data.choosing import tokenizer_of
from longspan.train.forward import hidden_states
from longspan.train.model import untrained
from longspan.train.packing import check_apart
from longspan.train.run import Run
from longspan.train.settings import Settings, settings_of
from small_runs import MODEL, texts

SMALL = {name: value for name, value in MODEL.items() if name != "head_dim"}
HYBRIDS: dict[str, dict[str, Any]] = {
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "minimax": {},
    "bamba": {"attn_layer_indices": [1], "mamba_n_heads": 4, "mamba_d_head": 8},
}
APART: dict[str, dict[str, Any]] = {
    "llama": {},
    "gemma": {"head_dim": 8},
    "phi": {},
    "mixtral": {"num_local_experts": 4, "sliding_window": None},
    "aria_text": {"moe_num_experts": 4},
    "olmo2": {},
    "starcoder2": {"sliding_window": None},
}


def hybrid(architecture: str, folder: Path, size: int, **data: Any) -> Settings:
    """Five texts of `size` tokens under rows of 16."""
    train = {"train": [str(texts(folder / "texts", count=5, size=size))], **data}
    model = {**SMALL, **{**HYBRIDS, **APART}[architecture], "architecture": architecture}
    return settings_of({"model": model, "data": train, "training": {"length": 16, "steps": 1, "batch": 2}})


def reads_on(model: Any) -> bool:
    """Whether what a packed document becomes has a gradient in the embeddings of the document before it."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    embedded = list[torch.Tensor]()

    def keep(module: Any, args: Any, output: torch.Tensor) -> None:
        output.retain_grad()
        embedded.append(output)

    hook = model.get_input_embeddings().register_forward_hook(keep)
    ids, positions = torch.arange(1, 31)[None], torch.cat([torch.arange(13), torch.arange(17)])[None]
    hidden = hidden_states(model.eval(), Batch(ids, ids, torch.ones_like(ids, dtype=torch.bool), positions))
    hidden[:, 13:].square().sum().backward()
    hook.remove()
    (found,) = embedded
    assert found.grad is not None
    assert found.grad[:, 13:].any()
    return bool(found.grad[:, :13].any())


@pytest.mark.parametrize("architecture", [*HYBRIDS, *APART])
def test_who_reads_on_into_the_next_document_is_refused(architecture: str, tmp_path: Path) -> None:
    settings = hybrid(architecture, tmp_path, 100)
    model = untrained(settings, tokenizer_of(settings))
    refused = False
    try:
        check_apart(model)
    except RefusalError:
        refused = True
    assert refused == reads_on(model) == (architecture in HYBRIDS)


def test_only_rows_of_several_documents_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusalError, match=r"Lfm2ForCausalLM .* give texts .* or data\.documents = 'joined'"):
        Run(hybrid("lfm2", tmp_path, 12), tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()
    for size, documents in ((100, "apart"), (12, "joined")):
        run = Run(hybrid("lfm2", tmp_path, size, documents=documents), tmp_path / f"run-{size}")
        assert [step.step for step in run.train()] == [1]
    Run(hybrid("llama", tmp_path, 12), tmp_path / "llama")
