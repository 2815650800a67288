import json
import re

LIMIT = 20


def listed(sample):
    """The "genes" of the answer's JSON object, which may stand between other words; [] without one."""
    data = sample.get("output_json")
    if not isinstance(data, dict):
        text = sample.get("output_text") or ""
        try:
            data = json.loads(text[text.find("{"):text.rfind("}") + 1])
        except ValueError:
            return []
    genes = data.get("genes") if isinstance(data, dict) else None
    return genes if isinstance(genes, list) else []


def grade(sample, item):
    """1 / sqrt(rank) of the right gene: 1, 0.71, 0.58, 0.5, ...; 0 when it is not among the first 20.
    A gene named twice takes one place."""
    ranked = []
    for gene in listed(sample):
        symbol = re.match(r"[A-Za-z0-9-]+", str(gene).strip())
        if symbol and symbol.group(0).upper() not in ranked:
            ranked.append(symbol.group(0).upper())
    want = item["gene"].upper()
    if want not in ranked[:LIMIT]:
        return 0.0
    return (ranked.index(want) + 1) ** -0.5
