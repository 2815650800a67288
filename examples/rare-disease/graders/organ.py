import re


def grade(sample, item):
    """1 when the first word names the right organ, in any case, and the answer has at most three words."""
    words = re.findall(r"[A-Za-z]+", (sample.get("output_text") or "").lower())
    return 1.0 if 1 <= len(words) <= 3 and words[0] == item["answer"] else 0.0
