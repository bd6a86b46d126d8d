"""InfoNCE, linear contrastive and N-pair losses, written out as sums: the reference where no library has the option.
The formulas are those of server/training/losses/; nothing here is vectorised, so that it can be read against them."""

import math

import torch


def cosine(x, y):
    return torch.dot(x, y) / (x.norm() * y.norm())


def rows(offsets, i):
    return range(offsets[i], offsets[i + 1])


def info_nce(batch, scale=20, symmetric=False, query_negatives=False, document_negatives=False, hardness=0,
             hard_negatives=1, false_negative_margin=None, several_positives=False):
    del several_positives  # The batch says which positives there are.
    a, d = batch["anchors"], batch["documents"]
    positives, negatives = batch["positive_offsets"], batch["negative_offsets"]
    n, all_positives = len(a), positives[-1]
    owner = {r: i for i in range(n) for r in [*rows(positives, i), *rows(negatives, i)]}
    total = 0
    for i in range(n):
        value = 0
        for p in rows(positives, i):
            pair = cosine(a[i], d[p])

            def counts(similarity):
                return false_negative_margin is None or not similarity.item() > pair.item() - false_negative_margin

            def weight(row, similarity):
                own = owner[row] == i
                hard = hard_negatives == 1 or (hard_negatives == 2 and not own) or (hard_negatives == 3 and own)
                return hardness * similarity.item() if hard else 0

            q = [(scale * pair).exp()]
            for row in range(len(d)):
                similarity = cosine(a[i], d[row])
                if row == p or (row < all_positives and owner[row] == i) or not counts(similarity):
                    continue
                q.append((scale * similarity + weight(row, similarity)).exp())
            r = [(scale * cosine(a[j], d[p])).exp() for j in range(n) if j == i or counts(cosine(a[j], d[p]))]
            queries = [(scale * cosine(a[i], a[j])).exp() for j in range(n)
                       if j != i and counts(cosine(a[i], a[j]))]
            documents = [(scale * cosine(d[p], d[row])).exp() for row in range(len(d))
                         if owner[row] != i and counts(cosine(d[p], d[row]))]
            if query_negatives or document_negatives:
                parts = q + (r if symmetric else []) + (queries if query_negatives else [])
                parts += documents if document_negatives else []
                value = value + sum(parts).log() - scale * pair
            elif symmetric:
                value = value + (sum(q).log() + sum(r).log()) / 2 - scale * pair
            else:
                value = value + sum(q).log() - scale * pair
        total = total + value / len(rows(positives, i))
    return total / n


def linear_contrastive(batch, distance, margin):
    """As the summary page of contrastive learning writes it, with Y = 1 for a dissimilar pair."""
    total = 0
    for x, y, similar in zip(batch["anchors"], batch["documents"], batch["similar"]):
        d = (x - y).norm() if distance == 1 else 1 - cosine(x, y)
        dissimilar = 1 - similar
        total = total + (1 - dissimilar) * d + dissimilar * torch.clamp(margin - d, min=0)
    return total / len(batch["anchors"])


def n_pair(batch, regularization):
    a, d = batch["anchors"], batch["documents"]
    total = 0
    for i in range(len(a)):
        total = total + sum(torch.dot(a[i], x).exp() for x in d).log() - torch.dot(a[i], d[i])
    every = [*a, *d]
    return total / len(a) + regularization * sum(torch.dot(x, x) for x in every) / len(every)


def same(x, y):
    return math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-12)
