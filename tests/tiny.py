"""Tiny models with random numbers, tokenizers made on the spot, and texts: what the main job is tested with."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from longspan.bundled import words as bundled_words
from longspan.task import Example, Material
from longspan.tasks.retrieval import FactRetrieval

TRAINED_LENGTH = 64
FACTS = bundled_words()
PROSE = [
    "the",
    "sun",
    "rose",
    "over",
    "a",
    "quiet",
    "valley",
    "and",
    "nobody",
    "spoke",
    "of",
    "rain",
    "until",
    "night",
    "came",
    "back",
    "again",
    "with",
    "cold",
    "wind",
]


def words_tokenizer(opening: bool = False) -> PreTrainedTokenizerFast:
    """One token per word or mark; with a BOS before every text if wanted."""
    words = [*PROSE, *FACTS.fact.replace("{name}", "").replace("{value}.", "").split()]
    words += [*FACTS.names, *FACTS.values, ".", "?"]
    vocabulary = {word: i for i, word in enumerate(["<unk>", "<s>", *dict.fromkeys(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if opening:
        tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>")


def bytes_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte: choices of several tokens and of different lengths."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({symbol: i for i, symbol in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def llama(vocabulary: int, seed: int = 0) -> LlamaForCausalLM:
    """Two layers, two heads of 16."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=TRAINED_LENGTH,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


def gemma2(vocabulary: int) -> Gemma2ForCausalLM:
    """Softcapped logits, and layers with a sliding window beside full ones."""
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=TRAINED_LENGTH,
        sliding_window=16,
        query_pre_attn_scalar=16,
        final_logit_softcapping=3.0,
        initializer_range=0.5,
        bos_token_id=1,
        eos_token_id=0,
        pad_token_id=0,
    )
    return Gemma2ForCausalLM(config).eval()


def save_model(folder: Path, *, broken: bool = False) -> Path:
    """A Llama and its tokenizer as a checkpoint; a broken one returns NaN."""
    tokenizer = words_tokenizer()
    model = llama(len(tokenizer))
    if broken:
        with torch.no_grad():
            model.get_submodule("model.layers.1.mlp.down_proj").get_parameter("weight").fill_(float("nan"))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def prose(words: int, seed: int = 0) -> str:
    """Sentences of random words, without sense."""
    generator = random.Random(seed)
    found: list[str] = []
    while len(found) < words:
        found += [generator.choice(PROSE) for _ in range(generator.randint(4, 9))]
        found[-1] += "."
    return " ".join(found)


def write_texts(folder: Path, count: int, words: int) -> Path:
    """So many files of so many words or a few more."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"text-{number:02}.txt").write_text(prose(words, number), encoding="utf-8")
    return folder


def haystack(
    document: Sequence[int], tokenizer: Any, length: int, index: str, opening: Sequence[int] = (), tail: int = 0
) -> Example:
    """A document with facts in it, and questions about them."""
    material = Material(tokenizer, tuple(document), tuple(opening))
    return FactRetrieval(tail=tail).example(material, length, index)
