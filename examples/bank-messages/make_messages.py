#!/usr/bin/env python3
"""What does this bank's customer want? Ten topics, lettered; the answer is a letter.

    make_messages.py [OUT] [--source FOLDER]

Without --source messages are put together by rule, from sentences of our own, those of the test from other sentences than
those of training. FOLDER is BANKING77's banking_data with train.csv and test.csv (PolyAI, CC BY 4.0).
"""
import csv
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(HERE))

import making  # noqa: E402

# The ten of BANKING77's 77 intents that are used, and what they are called here.
INTENTS = {"age_limit": "age limit", "card_arrival": "card arrival", "change_pin": "pin change",
           "edit_personal_details": "details change", "exchange_rate": "exchange rate",
           "lost_or_stolen_card": "lost card", "request_refund": "refund",
           "terminate_account": "close account", "top_up_failed": "top-up failed",
           "verify_my_identity": "identity check"}
TOPICS = list(INTENTS.values())

# Sentences of our own; the last two of each are kept for validation and test.
SAID = {
    "age limit": ["How old must {who} be to open an account?", "Can {who} who is only {age} have a card of yours?",
                  "From what age do you take customers?", "Is {age} old enough for an account with you?",
                  "Are accounts for under-eighteens possible?", "I want an account for {who}, who is {age}. Too young?"],
    "card arrival": ["I ordered a card {days} days ago and nothing has come.", "When will the card you sent reach {place}?",
                     "My new card still has not been delivered.", "How long does a card take by post to {place}?",
                     "The letter with my card should have been here {days} days ago.", "Still waiting for the plastic to turn up in {place}."],
    "pin change": ["How do I choose another PIN?", "I would like a different code for the cash machine.",
                   "Where can I set a new PIN while I am in {place}?", "Can the four digits of my card be changed?",
                   "I keep forgetting my PIN and want an easier one.", "Let me pick new digits for withdrawals, please."],
    "details change": ["I moved to {place}; where do I put my new address?", "My surname is another one since {days} days.",
                       "Please correct my phone number.", "How can I change the e-mail address that you have of me?",
                       "You have an old address of mine.", "I got married and my name needs updating."],
    "exchange rate": ["What do I get for {amount} euros in {place}?", "Which rate do you use for dollars?",
                      "How many pounds are {amount} euros with you today?", "Do you take the interbank rate for currencies?",
                      "Is your rate for yen any good at the weekend?", "If I change {amount} into kroner, how much is that?"],
    "lost card": ["My card was stolen in {place}.", "I cannot find my card anywhere, please block it.",
                  "Somebody took my wallet with the card {days} days ago.", "I left my card in a taxi in {place}.",
                  "The card is gone since I was in {place}. What now?", "A thief has my card!"],
    "refund": ["I want my {amount} euros back from that shop.", "How do I ask for money back for a purchase?",
               "The seller in {place} never delivered; can you return my payment?", "Please give me back what I paid {days} days ago.",
               "I sent the thing back and should be repaid {amount}.", "Could this purchase be reversed and the sum returned?"],
    "close account": ["I want to close my account.", "Please end my contract with you.", "How can I leave this bank for good?",
                      "Delete my account, I moved to another bank in {place}.",
                      "I do not need you any more; shut it down.", "What must I do so that I am no longer your customer?"],
    "top-up failed": ["Adding {amount} euros to my balance did not work.", "My top-up was declined.",
                      "I tried to load money {days} days ago and it failed.", "Why can't I put {amount} onto my account by card?",
                      "The app says error when I add funds.", "Loading {amount} bounced twice."],
    "identity check": ["How do I prove who I am?", "Which papers do you need to verify me?", "Where do I send the photo of my passport?",
                       "Do you really need my driving licence to check my identity?",
                       "My selfie for the verification, how do I take it?", "You asked me to confirm that I am me; how?"],
}
SLOTS = {"who": ["my daughter", "my son", "a pupil", "my niece", "my brother"], "age": ["9", "12", "14", "15", "16", "17"],
         "days": ["3", "5", "8", "10", "14", "21"], "place": ["Lisbon", "Graz", "Oslo", "Leeds", "Kyoto", "Lyon", "Gdansk"],
         "amount": ["20", "45", "80", "150", "300", "1,200"]}
GREETINGS = ["", "Hello, ", "Hi. ", "Good morning. ", "Please help: ", "Urgent! ", "One question: "]
ENDS = ["", " Thanks.", " Thank you!", " Please answer soon.", " It is for my account in {place}.", " I have been a customer for {days} years."]


def row_of(text, topic):
    return making.choose("Customer: " + text, "What is it about?", TOPICS, topic)


def by_rule(rng):
    def message(topic, sentences):
        text = rng.choice(GREETINGS) + rng.choice(sentences) + rng.choice(ENDS)
        return row_of(text.format(**{slot: rng.choice(words) for slot, words in SLOTS.items()}), topic)

    def some(n, part):
        return [row for topic in TOPICS for row in making.distinct(lambda: message(topic, part(SAID[topic])), n)]
    train = making.balanced(some(40, lambda said: said[:4]), "answer", 400, rng)
    held = some(25, lambda said: said[4:])
    rng.shuffle(held)
    valid = making.balanced(held, "answer", 50, rng)
    test = [row for row in held if row not in valid]
    return {"train.jsonl": train, "train_64.jsonl": making.balanced(train, "answer", 64, rng), "valid.jsonl": valid,
            "test.jsonl": making.balanced(test, "answer", 150, rng)}


def from_source(folder, rng):
    def read(name):
        rows, seen = [], set()
        with open(os.path.join(folder, name), encoding="utf-8", newline="") as stream:
            for line in csv.DictReader(stream):
                text = re.sub(r"\s+", " ", line["text"]).strip()
                if line["category"] in INTENTS and text.lower() not in seen and len(text) <= 200:
                    seen.add(text.lower())
                    rows.append(row_of(text, INTENTS[line["category"]]))
        return rows
    train, test = read("train.csv"), read("test.csv")
    valid = making.balanced(train, "answer", 50, rng)
    taken = {row["messages"][0]["content"] for row in valid + test}
    train = making.balanced([row for row in train if row["messages"][0]["content"] not in taken], "answer", 600, rng)
    return {"train.jsonl": train, "train_64.jsonl": making.balanced(train, "answer", 64, rng), "valid.jsonl": valid,
            "test.jsonl": making.balanced(test, "answer", 200, rng)}


if __name__ == "__main__":
    sys.exit(making.command(__doc__, HERE, by_rule, from_source, "the folder of BANKING77"))
