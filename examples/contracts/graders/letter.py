import re


def grade(sample, item):
    """1 when the answer begins with the right option's letter, alone: 'H', 'H.', '(H)', 'H. License Grant'; 'A clause ...' is a sentence."""
    m = re.match(r"\s*\(?([A-Z])(?![A-Za-z'])(?! [a-z])", sample.get("output_text") or "")
    return 1.0 if m and m.group(1) == item["answer"] else 0.0
