#!/usr/bin/env python3
"""Every part of the product says under which terms it may be used.

Checks three lists and exits with 1 where one has a hole:

- the licence of every crate in Cargo.lock's graph against `deny.toml` (what
  `cargo deny check licenses` does, without having to install it);
- every model of `models/registry.toml`: a licence, and a card that names it;
- every article of `corpus/starter`: front matter with its language and with
  sources that have a document, a year, an address and facts.

Needs Python 3.11 and cargo, nothing else. Runs in a second or two.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


# --- Licence expressions -----------------------------------------------------


def satisfied(expression, allowed):
    """Whether an SPDX expression can be met with the allowed licences.

    `/` is an old spelling of OR. `X WITH Y` is one licence. AND binds closer
    than OR.
    """
    tokens = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
    position = 0

    def peek():
        return tokens[position] if position < len(tokens) else None

    def take():
        nonlocal position
        token = peek()
        if token is None:
            raise ValueError(f"incomplete licence expression {expression!r}")
        position += 1
        return token

    def one():
        token = take()
        if token == "(":
            value = either()
            if take() != ")":
                raise ValueError(f"unbalanced licence expression {expression!r}")
            return value
        if token in (")", "AND", "OR", "WITH"):
            raise ValueError(f"misplaced {token} in licence expression {expression!r}")
        if peek() == "WITH":
            take()
            return f"{token} WITH {take()}" in allowed
        return token in allowed

    def both():
        value = one()
        while peek() == "AND":
            take()
            # Read the right side in any case: it moves the position.
            right = one()
            value = value and right
        return value

    def either():
        value = both()
        while peek() == "OR":
            take()
            right = both()
            value = value or right
        return value

    value = either()
    if position != len(tokens):
        raise ValueError(f"misplaced {peek()} in licence expression {expression!r}")
    return value


# --- Crates ------------------------------------------------------------------


def packages(targets):
    """The crates of the graph, as (name, version, licence), for all targets."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--all-features"]
    for target in targets:
        command += ["--filter-platform", target]
    # Without a network first: that is quicker, and enough after a build.
    for extra in (["--offline"], []):
        done = subprocess.run(command + extra, cwd=ROOT, capture_output=True, text=True)
        if done.returncode == 0:
            return sorted(
                (package["name"], package["version"], package["license"])
                for package in json.loads(done.stdout)["packages"]
            )
    raise SystemExit(f"cargo metadata failed:\n{done.stderr.strip()}")


def crate_findings(crates, deny):
    allowed = set(deny["licenses"]["allow"])
    exceptions = {
        entry["name"]: set(entry["allow"]) for entry in deny["licenses"].get("exceptions", [])
    }
    findings = []
    for name, version, licence in crates:
        if not licence:
            findings.append(f"{name} {version}: states no licence")
            continue
        try:
            if not satisfied(licence, allowed | exceptions.get(name, set())):
                findings.append(f"{name} {version}: {licence} is not allowed by deny.toml")
        except ValueError as error:
            findings.append(f"{name} {version}: {error}")
    for name in sorted(set(exceptions) - {name for name, _, _ in crates}):
        findings.append(f"deny.toml: the exception for {name} is not needed any more")
    return findings


# --- Models ------------------------------------------------------------------


def models(registry):
    """The models of the registry as (name, entry), however they are listed."""
    listed = registry.get("model", registry.get("models", {}))
    if isinstance(listed, dict):
        return list(listed.items())
    return [(entry.get("name", "?"), entry) for entry in listed]


def model_findings(entries, cards):
    """`cards` maps the names of the cards to their texts."""
    findings = [] if entries else ["models/registry.toml: lists no model"]
    for name, entry in entries:
        licence = entry.get("licence") or entry.get("license")
        if not licence:
            findings.append(f"models/registry.toml: {name}: states no licence")
        if name not in cards:
            findings.append(f"models/registry.toml: {name}: has no card models/cards/{name}.md")
        elif licence and licence not in cards[name]:
            findings.append(f"models/cards/{name}.md: does not name the licence {licence}")
    for name in sorted(set(cards) - {name for name, _ in entries}):
        findings.append(f"models/cards/{name}.md: the registry has no such model")
    return findings


# --- Corpus ------------------------------------------------------------------


def article_findings(file, language, text):
    match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    if not match:
        return [f"{file}: has no front matter"]
    front = match[1]
    findings = []
    for key in ("title", "date", "labels"):
        if not re.search(rf"^{key}:[ \t]*\S", front, re.MULTILINE):
            findings.append(f"{file}: the front matter has no {key}")
    if not re.search(rf"^language:[ \t]*{re.escape(language)}[ \t]*$", front, re.MULTILINE):
        findings.append(f"{file}: the language is not {language}, the name of its folder")
    sources = re.split(r"^[ \t]*-[ \t]+document:", front, flags=re.MULTILINE)[1:]
    if not sources:
        findings.append(f"{file}: names no source")
    for number, source in enumerate(sources, 1):
        for what, pattern in (
            ("document", r"\A[ \t]*\S"),
            ("year", r"^[ \t]*year:[ \t]*\d{4}\b"),
            ("address", r"^[ \t]*url:[ \t]*[\"']?https?://\S"),
            ("fact", r"^[ \t]*facts:[ \t]*\n[ \t]*-[ \t]*\S"),
        ):
            if not re.search(pattern, source, re.MULTILINE):
                findings.append(f"{file}: source {number} has no {what}")
    return findings


# --- Run ---------------------------------------------------------------------


def self_test():
    """The checks must be able to fail."""
    allowed = {"MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"}
    for expression, expected in {
        "MIT": True,
        "GPL-3.0-only": False,
        "GPL-2.0-only OR MIT": True,
        "GPL-2.0/MIT": True,
        "MIT AND GPL-2.0-only": False,
        "(MIT OR GPL-2.0-only) AND Apache-2.0": True,
        "MIT AND (ISC OR Zlib)": False,
        "Apache-2.0 WITH LLVM-exception": True,
        "MIT WITH LLVM-exception": False,
    }.items():
        assert satisfied(expression, allowed) is expected, expression
    deny = {"licenses": {"allow": ["MIT"], "exceptions": [{"name": "gone", "allow": ["ISC"]}]}}
    crates = [("a", "1", "GPL-3.0-only"), ("b", "1", None), ("c", "1", "MIT AND"), ("d", "1", "MIT")]
    assert len(crate_findings(crates, deny)) == 4
    entries = [("a", {"licence": "MIT"}), ("b", {}), ("c", {"licence": "MIT"})]
    assert len(model_findings(entries, {"a": "MIT", "c": "none", "d": ""})) == 4
    article = '---\ntitle: T\nlanguage: en\ndate: 2026-01-01\nlabels: [a]\nsources:\n  - document: "D"\n    year: 2024\n    url: https://a.b\n    facts:\n      - "f"\n---\n'
    assert not article_findings("f", "en", article)
    assert len(article_findings("f", "fr", article)) == 1
    assert len(article_findings("f", "en", article.replace("2024", "").replace("https", "ftp"))) == 2
    assert len(article_findings("f", "en", "# Title\n")) == 1


def main():
    self_test()
    with open(ROOT / "deny.toml", "rb") as file:
        deny = tomllib.load(file)
    with open(ROOT / "models/registry.toml", "rb") as file:
        registry = models(tomllib.load(file))
    crates = packages(deny["graph"]["targets"])
    cards = {
        card.stem: card.read_text(encoding="utf-8")
        for card in sorted((ROOT / "models/cards").glob("*.md"))
        if card.stem != "README"
    }
    articles = sorted((ROOT / "corpus/starter").glob("*/*.md"))
    findings = crate_findings(crates, deny) + model_findings(registry, cards)
    if not articles:
        findings.append("corpus/starter: has no article")
    for article in articles:
        findings += article_findings(
            article.relative_to(ROOT), article.parent.name, article.read_text(encoding="utf-8")
        )
    for finding in findings:
        print(finding)
    print(
        f"{len(crates)} crates, {len(registry)} models, {len(articles)} articles: "
        + (f"{len(findings)} findings" if findings else "all under known terms")
    )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
