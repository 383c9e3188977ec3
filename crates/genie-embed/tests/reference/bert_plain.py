#!/usr/bin/env python3
"""A BERT sentence encoder in plain Python, to check the Rust one against.

    bert_plain.py FOLDER > ../embed/minilm.json

FOLDER holds `model.safetensors`, `config.json` and `vocab.txt` of
all-MiniLM-L6-v2. Sentences are such that every word is one token of the
vocabulary, so no tokenizer is needed. Written after Devlin et al., "BERT"
(2019), section 3, and Reimers and Gurevych, "Sentence-BERT" (2019), section 3
(mean pooling); double precision, no library.
"""

import array
import json
import math
import pathlib
import struct
import sys

SENTENCES = [
    "the fiber reaches the last village",
    "a mobile network covers the small village",
    "cooks add salt to the soup",
]


class Model:
    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.config = json.loads((folder / "config.json").read_text())
        data = (folder / "model.safetensors").read_bytes()
        (size,) = struct.unpack("<Q", data[:8])
        self.header = json.loads(data[8 : 8 + size])
        self.data = memoryview(data)[8 + size :]
        words = (folder / "vocab.txt").read_text().split("\n")
        self.vocabulary = {word: number for number, word in enumerate(words)}

    def tensor(self, name):
        info = self.header[name]
        assert info["dtype"] == "F32", name
        start, end = info["data_offsets"]
        values = array.array("f", bytes(self.data[start:end]))
        if len(info["shape"]) == 1:
            return list(values)
        rows, width = info["shape"]
        return [list(values[r * width : (r + 1) * width]) for r in range(rows)]

    def linear(self, rows, name):
        weight, bias = self.tensor(name + ".weight"), self.tensor(name + ".bias")
        return [
            [math.fsum(map(float.__mul__, row, w)) + b for w, b in zip(weight, bias)]
            for row in rows
        ]

    def norm(self, rows, name):
        weight, shift = self.tensor(name + ".weight"), self.tensor(name + ".bias")
        out = []
        for row in rows:
            mean = math.fsum(row) / len(row)
            variance = math.fsum((x - mean) ** 2 for x in row) / len(row)
            scale = 1 / math.sqrt(variance + self.config["layer_norm_eps"])
            out.append([(x - mean) * scale * w + b for x, w, b in zip(row, weight, shift)])
        return out

    def attention(self, rows, name):
        heads = self.config["num_attention_heads"]
        width = self.config["hidden_size"] // heads
        q, k, v = (self.linear(rows, f"{name}.self.{part}") for part in ("query", "key", "value"))
        out = [[] for _ in rows]
        for head in range(heads):
            cut = slice(head * width, (head + 1) * width)
            for place, query in enumerate(q):
                dots = [math.fsum(map(float.__mul__, query[cut], key[cut])) for key in k]
                powers = [math.exp((dot - max(dots)) / math.sqrt(width)) for dot in dots]
                total = math.fsum(powers)
                columns = zip(*(value[cut] for value in v))
                out[place] += [math.fsum(map(float.__mul__, powers, c)) / total for c in columns]
        return self.linear(out, name + ".output.dense")

    def embed(self, sentence):
        words = ["[CLS]", *sentence.split(), "[SEP]"]
        tokens = self.tensor("embeddings.word_embeddings.weight")
        places = self.tensor("embeddings.position_embeddings.weight")
        kind = self.tensor("embeddings.token_type_embeddings.weight")[0]
        rows = [
            list(map(sum, zip(tokens[self.vocabulary[word]], places[at], kind)))
            for at, word in enumerate(words)
        ]
        rows = self.norm(rows, "embeddings.LayerNorm")
        for number in range(self.config["num_hidden_layers"]):
            name = f"encoder.layer.{number}"
            context = self.attention(rows, name + ".attention")
            rows = [list(map(float.__add__, a, b)) for a, b in zip(rows, context)]
            rows = self.norm(rows, name + ".attention.output.LayerNorm")
            inner = self.linear(rows, name + ".intermediate.dense")
            inner = [[x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in row] for row in inner]
            inner = self.linear(inner, name + ".output.dense")
            rows = [list(map(float.__add__, a, b)) for a, b in zip(rows, inner)]
            rows = self.norm(rows, name + ".output.LayerNorm")
        mean = [math.fsum(column) for column in zip(*rows)]
        length = math.sqrt(math.fsum(x * x for x in mean))
        return [x / length for x in mean]


def main():
    model = Model(sys.argv[1])
    found = [{"text": s, "vector": [round(x, 6) for x in model.embed(s)]} for s in SENTENCES]
    json.dump(found, sys.stdout)
    print()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
