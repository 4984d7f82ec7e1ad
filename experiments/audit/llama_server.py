"""Run llama.cpp's own HTTP server, from the package xllamacpp: `python llama_server.py '{"model": …, "port": …}'`.

The options are those of llama.cpp's `common_params`; the numbers of its enumerations are written as numbers.
"""

import json
import signal
import sys

import xllamacpp

ENUMERATIONS = {
    "rope_scaling_type": xllamacpp.llama_rope_scaling_type,
    "flash_attn_type": xllamacpp.llama_flash_attn_type,
    "cache_type_k": xllamacpp.ggml_type,
    "cache_type_v": xllamacpp.ggml_type,
}


def main() -> None:
    """Serve until the process is ended."""
    asked = json.loads(sys.argv[1])
    parameters = xllamacpp.CommonParams()
    parameters.model.path = asked.pop("model")
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = asked.pop("threads")
    for name, value in asked.items():
        if not hasattr(parameters, name):
            raise SystemExit(f"llama.cpp has no option {name!r}")
        setattr(parameters, name, ENUMERATIONS.get(name, type(value))(value))
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
