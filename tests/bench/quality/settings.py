"""What is trained and how: the one description that both sides of the comparison read.

A setting names at most 3,000 examples of a data set, in the form of a job directory's examples-0.jsonl
(server/base/job_directory.h), and the recipe. The seed decides the order in which the examples are written and the
dropout masks; both sides cut the list as it stands into batches of `batch_size`, so they see the same batches.
"""

import hashlib
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SEEDS = (1, 2, 3)
MINED = Path(__file__).with_name("wordnet_mined.json")
WEIGHT_DECAY = 0.01
MAX_GRADIENT_NORM = 1.0
DEBIAN_PAIRS = 2016  # The first of its training pairs.
WARMUP = 0.1  # Of all steps, linear; then linear decay to 0.

BANKING_CLASSES, BANKING_TEXTS = 16, 4  # Of a batch; of each class in it.
BANKING_ROUNDS = 9  # In each, every class gives its next texts.


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def shuffled(examples, seed):
    examples = list(examples)
    random.Random(seed).shuffle(examples)
    return examples


def take_distinct(examples, count, taken=()):
    """The first `count` examples none of whose texts stands in `taken` or in an earlier one."""
    taken, chosen = set(taken), []
    for example in examples:
        texts = {example["anchor"], *example["positives"], *example.get("negatives", [])}
        if len(chosen) < count and taken.isdisjoint(texts):
            taken |= texts
            chosen.append(example)
    if len(chosen) < count:
        raise ValueError(f"{len(chosen)} examples: must be at least {count}")
    return chosen


def debian_pairs(data, seed):
    pairs = read(data / "debian_en/train.jsonl")[:DEBIAN_PAIRS]
    return shuffled([{"anchor": pair["anchor"], "positives": [pair["positive"]]} for pair in pairs], seed)


def debian_texts(data, seed):
    """Synopses of some packages and descriptions of others: of one, they would be each other's negatives."""
    pairs = read(data / "debian_en/train.jsonl")[:DEBIAN_PAIRS]
    texts = [pair["anchor"] for pair in pairs[:1008]] + [pair["positive"] for pair in pairs[1008:]]
    return shuffled([{"text": text} for text in texts], seed)


def wordnet_triplets(data, seed):
    rows = [{"anchor": row["anchor"], "positives": [row["positive"]], "negatives": [row["negative"]]}
            for row in read(data / "wordnet/train.jsonl") if "negative" in row]
    tested = {row[side] for row in read(data / "wordnet/test.jsonl") for side in ("anchor", "positive")}
    return shuffled(take_distinct(rows, 2016, tested), seed)


def wordnet_pairs(data, seed):
    return [{"anchor": row["anchor"], "positives": row["positives"]} for row in wordnet_triplets(data, seed)]


def wordnet_mined_all(data, seed):
    """The pairs of wordnet_pairs with the negatives that mine.py mined for them: none for half of them."""
    glosses = wordnet_glosses(data)
    mined = json.loads(MINED.read_text())["negatives"]
    rows = wordnet_triplets(data, 0)
    return shuffled([{"anchor": row["anchor"], "positives": row["positives"],
                      "negatives": [glosses[i] for i in mined[row["anchor"]]]} for row in rows], seed)


def wordnet_mined(data, seed):
    """Those of wordnet_mined_all that have five negatives: the peer needs as many in each example."""
    return [row for row in wordnet_mined_all(data, seed) if len(row["negatives"]) == 5]


def wordnet_others(data):
    """4,000 glosses that are documents of the test beside its own: neither trained on nor mined from."""
    tested = {row["positive"] for row in read(data / "wordnet/test.jsonl")}
    trained = {text for row in wordnet_triplets(data, 0) for text in row["positives"] + row["negatives"]}
    glosses = dict.fromkeys(row["positive"] for row in read(data / "wordnet/train.jsonl"))
    return [gloss for gloss in glosses if gloss not in trained and gloss not in tested][:4000]


def wordnet_glosses(data):
    """All glosses of the training file but those that are documents of the test: what negatives are mined from."""
    tested = {row["positive"] for row in read(data / "wordnet/test.jsonl")} | set(wordnet_others(data))
    glosses = dict.fromkeys(row["positive"] for row in read(data / "wordnet/train.jsonl"))
    return [gloss for gloss in glosses if gloss not in tested]


def banking_classes(data):
    """{label: texts}: the first distinct texts of each label, 36 of most and 35 of the smallest."""
    classes = {}
    for row in read(data / "banking77/train.jsonl"):
        classes.setdefault(row["label"], {})[row["text"]] = None
    return {label: list(texts)[:BANKING_ROUNDS * BANKING_TEXTS] for label, texts in sorted(classes.items())}


def banking_texts(data, seed):
    """Batches of BANKING_TEXTS texts of each of BANKING_CLASSES classes, end to end; no text twice."""
    shuffle = random.Random(seed)
    left = banking_classes(data)
    for texts in left.values():
        shuffle.shuffle(texts)
    examples = []
    for _ in range(BANKING_ROUNDS):
        labels = [label for label, texts in left.items() if len(texts) >= BANKING_TEXTS]
        shuffle.shuffle(labels)
        for label in labels[:len(labels) // BANKING_CLASSES * BANKING_CLASSES]:
            examples += [{"text": left[label].pop(), "label": label} for _ in range(BANKING_TEXTS)]
    return examples


def sts_pairs(data, seed):
    rows = shuffled(read(data / "stsb_en/train.jsonl"), 0)[:2016]  # The file is sorted by where the pairs come from.
    return shuffled([{"first": row["anchor"], "second": row["positive"], "score": row["score"]} for row in rows], seed)


def tatoeba_pairs(data, seed):
    """Of sentences of at least 20 letters, since the shortest have many translations each."""
    rows = [{"anchor": row["positive"], "positives": [row["anchor"]]}
            for row in read(data / "tatoeba_en_zh/train.jsonl") if len(row["anchor"]) >= 20]
    return shuffled(take_distinct(shuffled(rows, 0), 2016), seed)


@dataclass(frozen=True)
class Setting:
    name: str
    test: str  # Of evaluate.TESTS.
    metric: str  # Of that test: what is compared.
    loss: dict  # As in options.json.
    examples: Callable[[Path, int], list]
    batch_size: int
    learning_rate: float
    max_length: int
    options: dict = field(default_factory=dict)  # Further ones of options.json, which the peer lacks.

    def warmup_steps(self, examples):
        return math.ceil(len(examples) / self.batch_size * WARMUP)

    def recipe(self):
        return {"loss": self.loss, "batch_size": self.batch_size, "learning_rate": self.learning_rate,
                "max_length": self.max_length, "weight_decay": WEIGHT_DECAY, "max_gradient_norm": MAX_GRADIENT_NORM,
                "warmup": WARMUP, "schedule": "linear"} | self.options


SETTINGS = {setting.name: setting for setting in (
    Setting("debian_en", "debian_en", "ndcg@10", {"info_nce": {"scale": 20.0}}, debian_pairs, 32, 5e-5, 128),
    Setting("wordnet_negatives", "wordnet", "ndcg@10", {"info_nce": {"scale": 20.0}}, wordnet_triplets, 32, 5e-5, 64),
    Setting("wordnet", "wordnet", "ndcg@10", {"info_nce": {"scale": 20.0}}, wordnet_pairs, 32, 5e-5, 64),
    Setting("wordnet_mined", "wordnet", "ndcg@10", {"info_nce": {"scale": 20.0}}, wordnet_mined, 32, 5e-5, 64),
    Setting("banking77_sup_con", "banking77", "accuracy", {"sup_con": {"temperature": 0.1}}, banking_texts,
            BANKING_CLASSES * BANKING_TEXTS, 5e-5, 64),
    # mining 3: batch-hard; distance 2: 1 - cosine.
    Setting("banking77_triplet", "banking77", "accuracy", {"triplet": {"mining": 3, "distance": 2, "margin": 0.2}},
            banking_texts, BANKING_CLASSES * BANKING_TEXTS, 5e-5, 64),
    Setting("stsb_en_cosent", "stsb_en", "spearman", {"cosent": {"scale": 20.0}}, sts_pairs, 32, 3e-5, 64),
    # At a scale of 20 this base model has a loss of 1e-5: it tells the views of a text from other texts already.
    Setting("debian_en_sim_cse", "debian_en", "ndcg@10", {"sim_cse": {"scale": 5.0}}, debian_texts, 32, 2e-5, 128),
    Setting("tatoeba_en_zh", "xquad_zh_en", "ndcg@10", {"info_nce": {"scale": 20.0}}, tatoeba_pairs, 32, 1e-4, 64),
)}

# What the peer has no half of: measured by gains.py against another setting of tandem's.
OWN_SETTINGS = {setting.name: setting for setting in (
    Setting("debian_en_lora", "debian_en", "ndcg@10", {"info_nce": {"scale": 20.0}}, debian_pairs, 32, 5e-4, 128,
            {"lora": {"rank": 16, "alpha": 32.0, "dropout": 0.0}}),
    Setting("wordnet_mined_all", "wordnet", "ndcg@10", {"info_nce": {"scale": 20.0}}, wordnet_mined_all, 32, 5e-5, 64),
)}


def lines(examples):
    """The text of examples-0.jsonl."""
    return "".join(json.dumps(example, ensure_ascii=False) + "\n" for example in examples)


def fingerprint(setting, examples):
    """The same for two runs exactly when they train on the same batches with the same recipe."""
    text = json.dumps(setting.recipe(), sort_keys=True) + "\n" + lines(examples)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def add_arguments(parser):
    parser.add_argument("--data", type=Path, required=True, help="folder with debian_en/train.jsonl and so on")
    parser.add_argument("--model", type=Path, required=True, help="directory of all-MiniLM-L6-v2")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=list(SEEDS))


def runs(arguments):
    """(setting, seed), so that every setting has its first seed before any has its second."""
    return [((SETTINGS | OWN_SETTINGS)[name], seed) for seed in arguments.seeds for name in arguments.settings]
