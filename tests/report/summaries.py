"""A summary as a study writes it, with numbers that are easy to follow."""

from collections.abc import Callable
from typing import Any

from longspan.study.summary import Summary

CONTEXTS = (256, 512, 1024, 4096)


def estimate(value: float, half: float = 0.02) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "documents": 8}


def row(method: str, loss: float, beyond: float, **more: Any) -> dict[str, Any]:
    contexts = [context for context in CONTEXTS if method != "truncation" or context >= 512]
    return {
        "method": method,
        "failed": None,
        "loss": {str(context): estimate(loss) for context in contexts},
        "loss_minus_truncation": {str(context): estimate(loss - 3.0) for context in contexts},
        "retrieval": {"4096": {**estimate(beyond), "right": int(100 * beyond), "asked": 100}},
        "beyond": estimate(beyond),
        "heat": [{"length": 4096, "depth": depth, "right": 3, "asked": 8} for depth in (0.05, 0.5, 0.95)],
        "seconds": 1.5,
        **more,
    }


def judged(method: str, loss: float, beyond: float, price: float) -> dict[str, Any]:
    return row(
        method,
        loss,
        beyond,
        price=estimate(price, 0.001),
        gain=estimate(loss - 3.0),
        retrieval_gain=estimate(beyond - 0.25),
        affordable=price <= 0.02,
        beats_in_loss=loss < 2.97,
        beats_in_retrieval=beyond > 0.3,
        positions=[loss] * 64,
        tokens_per_second=2730.0,
        peak_bytes=2**30,
    )


def summary(winner: str | None = "rerope(window=256)", **changes: Any) -> dict[str, Any]:
    return {
        "setting": {
            "model": "bundled",
            "trained_length": 512,
            "length": 4096,
            "dtype": "float32",
            "fingerprint": "0123456789abcdef",
            "tail": 128,
            "contexts": list(CONTEXTS),
            "dropped": ["a.txt: 5 tokens, fewer than 4096"],
            "files": 11,
            "hardware": "a processor, 2 threads",
            "seed": 0,
            "versions": {"python": "3.11.7", "torch": "2.13.0"},
            "command": "longspan extend --to 4096",
            "tolerance": 0.02,
            "documents": [f"book-{i}.txt" for i in range(8)],
        },
        "race": {
            "documents": ["book-9.txt"],
            "length": 4096,
            "rows": [
                {
                    "method": "rerope(window=256)",
                    "failed": None,
                    "loss": 2.9,
                    "beyond": 0.8,
                    "price": 0.0,
                    "tokens_per_second": 900.0,
                },
                {"method": "ntk(factor=16.0)", "failed": "the model returned NaN or infinity"},
                {
                    "method": "plain",
                    "failed": None,
                    "loss": 5.0,
                    "beyond": 0.1,
                    "price": 0.0,
                    "tokens_per_second": 999.0,
                },
            ],
            "finalists": ["rerope(window=256)"],
        },
        "left_out": ["the candidates <dual_chunk>"],
        "judged": True,
        "winner": winner,
        "model": "/somewhere/model" if winner else None,
        "methods": [
            row("truncation", 3.0, 0.25),
            row("plain", 5.0, 0.1, positions=[3.0] * 8 + [5.0] * 56, tokens_per_second=2000.0, peak_bytes=2**30),
            judged("rerope(window=256)", 2.9, 0.8, 0.0),
            judged("yarn(factor=8.0)", 3.2, 0.4, 0.1),
        ],
        **changes,
    }


def nothing() -> dict[str, Any]:
    """A summary in which no method beats truncation."""
    rows = [row("truncation", 3.0, 0.25), row("plain", 5.0, 0.1), judged("dual_chunk", 2.99, 0.25, 0.0)]
    return summary(winner=None, methods=rows)


def shown(draw: Callable[[Summary], Any], found: dict[str, Any]) -> Any:
    """What a report makes of a summary that was read from a file."""
    return draw(Summary.of(found))


def contrast(loss: float, facts: float, short: float, speed: float = 0.7) -> dict[str, Any]:
    """A method against a baseline."""
    found = {"loss": estimate(loss), "facts": estimate(facts), "short": estimate(short, 0.001)}
    return {**found, "cost": estimate(loss - facts), "speed": estimate(speed)}


def decided(**changes: Any) -> dict[str, Any]:
    """A summary with a verdict in full: criterion by criterion, ties, what is left undecided, what can be exported."""
    found = summary(**changes)
    _, plain, best, yarn = found["methods"]
    plain["against"] = {"truncation": contrast(2.0, -0.15, 0.0)}
    best["against"] = {"truncation": contrast(-0.1, 0.55, 0.0), "plain": contrast(-2.1, 0.7, 0.0, 0.72)}
    yarn["against"] = {"truncation": contrast(0.2, 0.15, 0.1), "plain": contrast(-1.8, 0.3, 0.1, 1.0)}
    found["warnings"] = ["Truncation predicts the text worse than guessing does: it may be no text."]
    found["verdict"] = {
        "advice": "method",
        "obstacle": None,
        "chosen_by": "exportable",
        "ties": [
            {"method": "dual_chunk", "difference": estimate(0.005), "judged": True},
            {"method": "self_extend", "difference": estimate(0.01), "judged": False},
        ],
        "undecided": ["alibi", "ntk(factor=16.0)"],
        "exportable": "yarn(factor=8.0)",
        **found.get("verdict", {}),
    }
    return found


def within() -> dict[str, Any]:
    """A study within the trained length: the plain model is the baseline, and there is no truncation."""
    found = decided()
    found["setting"] |= {"trained_length": 8192}
    _, plain, best, yarn = found["methods"]
    plain["against"] = {}
    for each in (best, yarn):
        each["against"].pop("truncation")
    for each in (plain, best, yarn):
        each["loss_minus_truncation"] = {}
    found["methods"] = [plain, best, yarn]
    return found
