import re

REWARDS = (1.0, 0.5, 0.25)


def grade(sample, item):
    """By the place of the right gene among the first three different candidates that the answer names."""
    known = {gene.upper() for gene in item["candidates"]}
    named = []
    for word in re.findall(r"[A-Za-z0-9-]+", sample.get("output_text") or ""):
        if word.upper() in known and word.upper() not in named:
            named.append(word.upper())
    for reward, gene in zip(REWARDS, named):
        if gene == item["gene"].upper():
            return reward
    return 0.0
