"""A run that never took place, of any size, in the folder of a job that is there: for what must be quick however long a run was."""
import json
import os
import random

WORDS = ("kidney", "heart", "tubule", "reads", "recall", "concerns", "therefore", "sign", "brain", "lesion", "because", "organ")


def line(step, item, sample, valid, rng, skill):
    right = rng.random() < skill
    n = rng.randint(20, 60)
    pieces = [" " + rng.choice(WORDS) for _ in range(n)]
    x = {"step": step, "item": item, "sample": sample}
    if sample == 0:
        x["prompt"] = "<|im_start|>user\nWhich organ does sign %d concern?<|im_end|>\n<|im_start|>assistant\n" % item
        x["reference"] = {"answer": WORDS[item % len(WORDS)]}
    x.update({"tokens": [rng.randrange(400) for _ in range(n)], "logprobs": [round(-rng.random() * 2, 5) for _ in range(n)],
              "pieces": pieces, "thinking_tokens": n // 2, "thinking": "".join(pieces[:n // 2]),
              "answer": "".join(pieces[n // 2:]), "truncated": rng.random() < 0.05, "reward": 1.0 if right else rng.random() / 2,
              "scores": {"organ": 1.0 if right else 0.0, "form": rng.random()}, "shadow_scores": {"shade": rng.random()},
              "errors": ["other_error"] if rng.random() < 0.001 else [],
              "advantage": 0 if valid else round(rng.uniform(-2, 2), 5), "trained": not valid})
    return json.dumps(x, separators=(",", ":"))


def figures(step, n_steps, rng, every):
    skill, valid = 0.2 + 0.7 * step / n_steps + rng.uniform(-0.05, 0.05), step % every == 0
    measured = lambda x: round(x, 5) if valid else ""
    return {"step": step, "total_steps": n_steps, "epoch": 1, "train_mean_reward": round(skill, 5), "reward_std": 0.4, "samples": 100,
            "full_valid_mean_reward": measured(skill), "full_valid_reward_ci95": measured(0.05),
            "completion_tokens_mean": round(40 + rng.uniform(-3, 3), 3), "reasoning_tokens_mean": round(20 + 10 * step / n_steps, 3),
            "valid_completion_tokens_mean": measured(40), "entropy": round(1.4 - skill, 5), "kl": round(rng.uniform(0.002, 0.02), 5),
            "truncated_share": round(0.05 * rng.random(), 4), "loss": round(rng.uniform(-0.02, 0.02), 5),
            "tokens_per_second": round(900 + rng.uniform(-50, 50), 1), "seconds_left": (n_steps - step) * 4,
            "scores/graders/organ/train_reward_mean": round(skill, 5), "scores/graders/organ/valid_reward_mean": measured(skill),
            "scores/graders/form/train_reward_mean": round(min(1, skill + 0.2), 5), "scores/graders/form/valid_reward_mean": "",
            "scores/shadow_graders/shade/train_reward_mean": round(0.5 + 0.1 * rng.random(), 5),
            "errors/graders/organ/train_other_error_count": int(rng.random() < 0.1),
            "timing/step/sampling": round(rng.uniform(1, 2), 3), "timing/step/grading_wait": 0.05,
            "timing/step/training": round(rng.uniform(2, 3), 3), "timing/step/eval": measured(3.0), "timing/step/full_iteration": 5,
            "timing/graders/organ/train_execution_latency_mean": round(rng.uniform(0.001, 0.002), 5)}


FIGURES = tuple(figures(0, 1, random.Random(0), 1))


def names(n_extra):
    return list(FIGURES) + ["extra/%d" % i for i in range(n_extra)]


def write(folder, n_steps=2000, n_rollouts=200000, n_items=500, n_valid=20, every=100):
    """rollouts/, metrics.csv, events.jsonl and job.json; about 1.4 KB an answer."""
    rng = random.Random(5)
    per_step = max(1, n_rollouts // n_steps)
    size = 10 if per_step >= 10 else per_step
    os.makedirs(os.path.join(folder, "rollouts"), exist_ok=True)
    with open(os.path.join(folder, "metrics.csv"), "w") as csv:
        csv.write(",".join(names(120)) + "\n")
        for step in range(n_steps + 1):
            skill = 0.2 + 0.7 * step / n_steps
            if step > 0:
                with open(os.path.join(folder, "rollouts", "step-%d.jsonl" % step), "w") as f:
                    for g in range(per_step // size):
                        f.write("".join(line(step, (step * 7 + g) % n_items, s, False, rng, skill) + "\n" for s in range(size)))
                row = list(figures(step, n_steps, rng, every).values()) + [round(rng.random(), 6) for _ in range(120)]
                csv.write(",".join(map(str, row)) + "\n")
            if step % every == 0:
                with open(os.path.join(folder, "rollouts", "valid-%d.jsonl" % step), "w") as f:
                    f.write("".join(line(step, i, 0, True, rng, skill) + "\n" for i in range(n_valid)))
    with open(os.path.join(folder, "events.jsonl"), "w") as f:
        for step in range(1, n_steps + 1):
            f.write(json.dumps({"object": "fine_tuning.job.event", "id": "ftevent-%d" % step, "created_at": 1700000000 + step,
                                "level": "info", "type": "metrics", "message": "Step %d/%d" % (step, n_steps),
                                "data": {"step": step, **{"extra/%d" % i: 0.5 for i in range(120)}}}) + "\n")
        f.write(json.dumps({"object": "fine_tuning.job.event", "id": "ftevent-w", "created_at": 1700009999, "level": "warn",
                            "type": "message", "data": {"step": n_steps}, "message":
                            "Step %d: answers turn alike: (1) step %d, item %d, sample 1, reward 0.50: \"kidney\""
                            % (n_steps, n_steps, n_steps * 7 % n_items)}) + "\n")
    with open(os.path.join(folder, "job.json"), "w") as f:
        json.dump({"id": os.path.basename(folder), "created_at": 1700000000, "version": "test", "job": {}, "resolved": {},
                   "graders": [{"name": "organ", "type": "python"}, {"name": "form", "type": "string_check"}]}, f)
