"""The peak memory of one forward pass, read from the operating system in a process of its own."""

import json
import os
import subprocess
import sys

from longspan.errors import LongspanError

PROGRAM = """
import json, sys, torch
from longspan import attend
length, heads, width, text = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
def status(field):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(field))
small = torch.randn(3, 1, heads, 4096, width)
with torch.no_grad():
    attend(*small, text)  # loads and allocates whatever does not depend on the length
    before = status("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    q, k, v = (torch.randn(1, heads, length, width) for _ in range(3))
    out = attend(q, k, v, text)
print(json.dumps({"peak_bytes": status("VmHWM") - before, "tensors_bytes": 4 * q.numel() * q.element_size()}))
"""


def peak(text: str, length: int, heads: int, head_dim: int) -> dict[str, int]:
    """Measure peak bytes of `attend` in float32, inputs included, and the bytes of query, key, value and output.

    Errors: LongspanError where the operating system does not say (Linux's /proc is needed).
    """
    command = [sys.executable, "-c", PROGRAM, str(length), str(heads), str(head_dim), text]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise LongspanError(f"peak memory of {text!r} at {length} tokens: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)
