"""Writes what llama.cpp generates greedily, for the test that compares.

    python llama_greedy.py NAME MODEL.gguf [--plain] [--floats]

writes `greedy-NAME.json` beside this script: for each prompt the rendered
text, its token ids, and 64 steps of {token, its logit, the runner-up, its
logit}. Needs the package llama-cpp-python (made with 0.3.36). Tokens are taken
by their highest logit, nothing is penalized, and an end token does not end the
run: each step has to be comparable.

llama.cpp keeps keys and values as f16 by default; here it keeps them as f32,
as the decoder that is compared does. That rounding alone moves the logits of
the 135M model by 0.2 (standard deviation, llama.cpp against itself), which
would hide an error of the decoder's own.

It also writes how far llama.cpp is from itself: `own` has the differences of
its logits when it reads prompt and answer in one batch instead of step by
step, which only adds the same products in another order. No other engine can
be expected to come closer than that.

`--plain` is for files without a chat template: the prompts are taken as they
are.

`--floats` first writes the file's weights as single precision into a folder
that is deleted again (needs the package gguf, and four bytes a weight), and
records `greedy-NAME-floats.json`: without eight-bit activations there is no
rounding that could hide a difference of the computation.
"""

import json
import pathlib
import sys
import tempfile

import llama_cpp
import numpy as np

STEPS = 64

# Two for the languages that the corpus has most of, at least one for each of
# the six; different lengths, digits, and other scripts inside of a text.
PROMPTS = [
    ("en", "What is an internet exchange point, and why do networks meet there?"),
    (
        "en",
        "Answer from the passage only.\n\n[1] In 2025 the ferry to Harbour Island carried "
        "48,210 passengers, 3,977 more than in 2024. A ticket costs 12.50.\n\n"
        "How many passengers did the ferry carry in 2025?",
    ),
    ("fr", "Explique en deux phrases pourquoi un câble sous-marin est posé en boucle."),
    ("fr", "Combien font 17 fois 23 ? Réponds d'abord par le nombre."),
    ("es", "¿Qué es el espectro radioeléctrico y quién decide cómo se usa?"),
    ("es", "Escribe una lista de tres ventajas de conectar las escuelas rurales a Internet."),
    ("ar", "ما هي الألياف الضوئية ولماذا تُستخدم في شبكات الاتصالات؟"),
    ("zh", "请用两三句话解释什么是人工智能，以及它在公共服务中的用途。"),
    ("zh", "把下面的句子翻译成英语：早期预警系统可以挽救生命。"),
    ("ru", "Чем спутниковая связь отличается от мобильной сети? Ответь кратко."),
]


def main():
    name, path, options = sys.argv[1], sys.argv[2], sys.argv[3:]
    plain = "--plain" in options
    if "--floats" not in options:
        return record(name, path, plain)
    with tempfile.TemporaryDirectory() as folder:
        floats = f"{folder}/floats.gguf"
        write_floats(path, floats)
        record(f"{name}-floats", floats, plain)


def write_floats(path, target):
    """The same file with every tensor in single precision."""
    import gguf

    source = gguf.GGUFReader(path)
    family = source.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, family)
    for name, field in source.fields.items():
        if name == "general.architecture" or name.startswith("GGUF."):
            continue
        kind, *inner = field.types
        value = 0 if name == "general.file_type" else field.contents()
        writer.add_key_value(name, value, kind, sub_type=inner[-1] if inner else None)
    for tensor in source.tensors:
        floats = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, floats.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def record(name, path, plain):
    model = llama_cpp.Llama(
        model_path=path, n_ctx=1024, n_threads=1, logits_all=False, verbose=False,
        type_k=0, type_v=0, flash_attn=False,
    )
    runs = []
    for language, question in PROMPTS:
        text = question if plain else render(question)
        prompt = model.tokenize(text.encode(), add_bos=False, special=True)
        model.reset()
        model.eval(prompt)
        steps = []
        for _ in range(STEPS):
            logits = last_logits(model)
            best, second = np.argsort(-logits, kind="stable")[:2]
            steps.append(
                {
                    "token": int(best),
                    "logit": round(float(logits[best]), 4),
                    "second": int(second),
                    "second_logit": round(float(logits[second]), 4),
                }
            )
            model.eval([int(best)])
        runs.append(
            {"language": language, "text": text, "prompt": prompt, "steps": steps}
        )
    own = json.dumps(own_differences(path, runs))
    lines = ",\n".join(json.dumps(run, ensure_ascii=False) for run in runs)
    made_with = f"llama-cpp-python {llama_cpp.__version__}"
    target = pathlib.Path(__file__).parent / f"greedy-{name}.json"
    target.write_text(
        f'{{"model": {json.dumps(name)}, "made_with": {json.dumps(made_with)}, "own": {own}, "runs": [\n{lines}\n]}}\n',
        encoding="utf-8",
    )


def own_differences(path, runs):
    """The median, the 95th of 100 and the largest difference of the recorded
    logits and those of one batch."""
    model = llama_cpp.Llama(
        model_path=path, n_ctx=1024, n_threads=1, logits_all=True, verbose=False,
        type_k=0, type_v=0, flash_attn=False,
    )
    differences = []
    for run in runs:
        steps = run["steps"]
        model.reset()
        model.eval(run["prompt"] + [step["token"] for step in steps[:-1]])
        for place, step in enumerate(steps, start=len(run["prompt"]) - 1):
            logits = model.scores[place]
            differences.append(abs(logits[step["token"]] - step["logit"]))
            differences.append(abs(logits[step["second"]] - step["second_logit"]))
    median, most_of_them, most = np.percentile(differences, [50, 95, 100])
    return {
        "median": round(float(median), 4),
        "p95": round(float(most_of_them), 4),
        "most": round(float(most), 4),
    }


def render(question):
    """The chat as ChatML, which all of the models compared here speak."""
    return (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\n{question}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def last_logits(model):
    pointer = llama_cpp.llama_get_logits_ith(model.ctx, -1)
    return np.ctypeslib.as_array(pointer, shape=(model.n_vocab(),)).copy()


if __name__ == "__main__":
    main()
