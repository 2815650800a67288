import json


def last_json(sample):
    text = sample.get("output_text") or ""
    end = text.rfind("}")
    start = text.rfind("{", 0, end + 1)
    try:
        data = json.loads(text[start:end + 1])
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def grade(sample, item):
    """1 within half a percent of the reference, 0.5 within five percent,
    0.3 for the right digits with a wrong sign or power of ten."""
    try:
        got = float(str(last_json(sample).get("answer")).replace(",", ""))
    except ValueError:
        return 0.0
    want = float(item["answer"])

    def off(a, b):
        return abs(a - b) / max(abs(b), 1e-9)
    if got != got or got in (float("inf"), float("-inf")):
        return 0.0
    if off(got, want) <= 0.005 or abs(got - want) <= 0.0051:
        return 1.0
    if off(got, want) <= 0.05:
        return 0.5
    for scale in (-1, 100, 0.01, 1000, 0.001, -100, -0.01):
        if want and off(got * scale, want) <= 0.005:
            return 0.3
    return 0.0
