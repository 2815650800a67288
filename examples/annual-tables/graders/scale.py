import json


def grade(sample, item):
    text = sample.get("output_text") or ""
    end = text.rfind("}")
    start = text.rfind("{", 0, end + 1)
    try:
        data = json.loads(text[start:end + 1])
    except ValueError:
        return 0.0
    got = data.get("scale") if isinstance(data, dict) else None
    return 1.0 if isinstance(got, str) and got.strip().lower() == item["scale"] else 0.0
