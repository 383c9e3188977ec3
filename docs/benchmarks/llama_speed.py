"""How fast llama.cpp reads and writes, to stand beside the example `speed` of
`genie-llm`.

    python llama_speed.py MODEL.gguf [THREADS]

Needs the package llama-cpp-python, built from its source on the machine that
is measured. Prints tokens a second for reading 512 and 2,048 tokens, and for
writing 64 behind a short prompt.
"""

import sys
import time

import llama_cpp


def main():
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    started = time.perf_counter()
    model = llama_cpp.Llama(
        model_path=sys.argv[1], n_ctx=4096, n_batch=512,
        n_threads=threads, n_threads_batch=threads, verbose=False,
    )
    print(f"load: {time.perf_counter() - started:.2f} s")
    tokens = model.tokenize(b"one two three four five six seven " * 600)
    for count in (512, 2048):
        model.reset()
        started = time.perf_counter()
        model.eval(tokens[:count])
        print(f"read {count} tokens at {count / (time.perf_counter() - started):.0f}/s")
    model.reset()
    model.eval(tokens[:16])
    started = time.perf_counter()
    for token in tokens[16:80]:
        model.eval([token])
    print(f"wrote 64 tokens at {64 / (time.perf_counter() - started):.1f}/s")


if __name__ == "__main__":
    main()
