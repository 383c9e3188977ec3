"""Draws what `genie bench llm --json` found beside llama.cpp.

    python llm_chart.py CHART.svg RESULT.json...

For each model and figure a bar as long as the ratio of ours to the peer's, with
both medians beside it; figures without a peer of the same kind are left out.
Needs nothing but Python.
"""

import json
import sys
from xml.sax.saxutils import escape

LABEL, BAR, TEXT, ROW, TOP = 260, 360, 240, 26, 54
PEERS = ("llama-bench", "llama-server")


def main():
    target, *files = sys.argv[1:]
    rows = [row for file in files for row in read(file)]
    if not rows:
        sys.exit("no figure in these files has llama.cpp beside it")
    rows.sort(key=lambda row: (row["model"], row["name"]))
    with open(target, "w", encoding="utf-8") as out:
        out.write(draw(rows))


def read(file):
    with open(file, encoding="utf-8") as source:
        report = json.load(source)
    for result in report["results"]:
        peer = result["peer"]
        # Others are beside ourselves: a first question, an answer without guesses.
        if peer and peer["name"] in PEERS:
            yield {
                "model": report["settings"]["model"],
                "name": f'{result["name"]} ({peer["name"]})',
                "unit": result["unit"],
                "ours": result["ours"]["median"],
                "peer": peer["median"],
                "ratio": result["ratio"],
            }


def draw(rows):
    most = max(2.0, *(row["ratio"] for row in rows)) * 1.05
    place = lambda ratio: LABEL + BAR * ratio / most
    parts, y, model = [], TOP, None
    for row in rows:
        if row["model"] != model:
            model = row["model"]
            y += ROW // 2
            parts.append(text(8, y + 12, model, weight="bold"))
            y += ROW
        parts.append(text(20, y + 12, row["name"]))
        width = place(row["ratio"]) - LABEL
        colour = "#1f77b4" if row["ratio"] >= 1 else "#d08020"
        parts.append(
            f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="16" fill="{colour}"/>'
        )
        note = f'{row["ratio"]:.2f}: {row["ours"]:.4g} and {row["peer"]:.4g} {row["unit"]}'
        parts.append(text(place(row["ratio"]) + 6, y + 12, note))
        y += ROW
    height = y + 12
    lines = [
        f'<line x1="{place(at):.1f}" x2="{place(at):.1f}" y1="{TOP - 6}" y2="{height - 8}" '
        f'stroke="#888" stroke-dasharray="3 3"/>' + text(place(at) - 8, TOP - 12, f"{at}×")
        for at in (1, 2)
    ]
    width = LABEL + BAR + TEXT
    title = "Speed as a multiple of llama.cpp's: median of the rounds' ratios, and both medians"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n'
        + text(8, 20, title, weight="bold")
        + "\n".join(["", *lines, *parts, "</svg>", ""])
    )


def text(x, y, content, weight="normal"):
    return f'<text x="{x:.1f}" y="{y}" font-weight="{weight}">{escape(content)}</text>'


if __name__ == "__main__":
    main()
