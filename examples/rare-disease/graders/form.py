import json


def grade(sample, item):
    """1 for one JSON object and nothing else, with an explanation of five words or more and 1 to 20
    different genes."""
    data = sample.get("output_json")
    if not isinstance(data, dict):
        try:
            data = json.loads(sample.get("output_text") or "")
        except ValueError:
            return 0.0
    if not isinstance(data, dict):
        return 0.0
    why, genes = data.get("explanation"), data.get("genes")
    if not isinstance(why, str) or len(why.split()) < 5:
        return 0.0
    if not isinstance(genes, list) or not 1 <= len(genes) <= 20:
        return 0.0
    if not all(isinstance(gene, str) for gene in genes) or len(set(genes)) != len(genes):
        return 0.0
    return 1.0
