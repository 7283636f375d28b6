"""A llama.cpp server in a process of its own: `python llama_server.py MODEL PORT WINDOW`.

The package `xllamacpp` carries llama.cpp's own HTTP server, compiled; this only starts it, so that the tests have
something that they can kill.
"""

from __future__ import annotations

import signal
import sys

import xllamacpp


def main(model: str, port: str, window: str) -> None:
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {"noise"}
    params.hostnames = ["127.0.0.1"]
    params.port = int(port)
    params.n_ctx = int(window)
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.fit_params = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
