import re


def grade(sample, item):
    """1 for the right number after the last 'Answer:'; 0.1 for a number there that is wrong, so that the form is learned first."""
    found = re.findall(r"Answer:\s*\$?(-?[\d,]*\.?\d+)", sample.get("output_text") or "")
    try:
        got = float(found[-1].replace(",", "")) if found else None
    except ValueError:
        return 0.0
    if got is None:
        return 0.0
    return 1.0 if abs(got - float(item["answer"])) < 1e-6 else 0.1
