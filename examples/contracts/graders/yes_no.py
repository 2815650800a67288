import re


def grade(sample, item):
    """1 when the first word is the right one, in any case; an answer of more than five words earns nothing."""
    words = re.findall(r"[A-Za-z]+", (sample.get("output_text") or "").lower())
    return 1.0 if 1 <= len(words) <= 5 and words[0] == item["answer"] else 0.0
