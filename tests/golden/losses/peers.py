"""The value of a loss on a batch, from the library that has it: peer(batch, name, options), or None where none has it.

A batch is a dictionary: anchors and documents (tensors, attached to what is differentiated), positive_offsets,
negative_offsets, scores, similar, labels. Name and options are those of the JSON of LossOptions."""

import torch
from pytorch_metric_learning import distances, regularizers
from pytorch_metric_learning import losses as metric_losses
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.losses import gist_embed
from sentence_transformers.sentence_transformer.losses.batch_hard_triplet import BatchHardTripletLossDistanceFunction
from sentence_transformers.sentence_transformer.losses.contrastive import SiameseDistanceMetric
from sentence_transformers.sentence_transformer.losses.triplet import TripletDistanceMetric

import by_the_book

HARDNESS_MODES = {1: "all_negatives", 2: "in_batch_negatives", 3: "hard_negatives"}
MINED = {2: losses.BatchAllTripletLoss, 3: losses.BatchHardTripletLoss, 4: losses.BatchHardSoftMarginTripletLoss,
         5: losses.BatchSemiHardTripletLoss}


def columns(batch):
    """Anchors, positives and the k-th negatives as tensors, or None when examples have different counts of them."""
    n, positives, negatives = len(batch["anchors"]), batch["positive_offsets"], batch["negative_offsets"]
    counts = {len(by_the_book.rows(negatives, i)) for i in range(n)}
    if positives[-1] != n or len(counts) != 1:
        return None
    count = counts.pop()
    first = torch.tensor([negatives[i] for i in range(n)])
    return [batch["anchors"], batch["documents"][:n], *(batch["documents"][first + k] for k in range(count))]


def info_nce_by_peer(batch, options):
    parts = columns(batch)
    if parts is None:
        return None
    query, document = options.get("query_negatives", False), options.get("document_negatives", False)
    margin = options.get("false_negative_margin")
    if margin is not None:
        if options.get("symmetric") or options.get("hardness") or len(parts) > (2 if document else 3):
            return None
        return gist(parts, 1 / options.get("scale", 20), margin, query, document)
    directions = ["query_to_doc"] + ["query_to_query"] * query
    directions += ["doc_to_query"] * options.get("symmetric", False) + ["doc_to_doc"] * document
    hardness = options.get("hardness", 0)
    loss = losses.MultipleNegativesRankingLoss(
        None, scale=options.get("scale", 20), directions=tuple(directions),
        partition_mode="joint" if query or document or len(directions) == 1 else "per_direction",
        hardness_mode=HARDNESS_MODES[options.get("hard_negatives", 1)] if hardness else None,
        hardness_strength=hardness)
    return loss.compute_loss_from_embeddings(parts, None)


class NoModel:
    """What GISTEmbedLoss's constructor wants to see of a model."""

    def __init__(self):
        from transformers import PreTrainedTokenizerFast
        from tokenizers import Tokenizer, models
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"x": 0}, unk_token="x")))
        self.max_seq_length = 8


def gist(parts, temperature, margin, query, document):
    """With the model as its own guide."""
    model = NoModel()
    loss = losses.GISTEmbedLoss(model, model, temperature=temperature, margin=margin, contrast_anchors=query,
                                contrast_positives=document)
    embed = gist_embed.embed_columns
    gist_embed.embed_columns = lambda _, features: [f["embedding"] for f in features]
    try:
        return loss([{"embedding": part} for part in parts], None)
    finally:
        gist_embed.embed_columns = embed


def triplet(batch, options):
    mining, margin = options.get("mining", 1), options.get("margin", 5)
    cosine = options.get("distance", 1) == 2
    if mining == 1:
        owners, near, far = [], [], []
        for i in range(len(batch["anchors"])):
            for p in by_the_book.rows(batch["positive_offsets"], i):
                for n in by_the_book.rows(batch["negative_offsets"], i):
                    owners, near, far = owners + [i], near + [p], far + [n]
        metric = TripletDistanceMetric.COSINE if cosine else TripletDistanceMetric.EUCLIDEAN
        loss = losses.TripletLoss(None, distance_metric=metric, triplet_margin=margin)
        return loss.compute_loss_from_embeddings(
            [batch["anchors"][owners], batch["documents"][near], batch["documents"][far]], None)
    metric = (BatchHardTripletLossDistanceFunction.cosine_distance if cosine
              else BatchHardTripletLossDistanceFunction.euclidean_distance)
    arguments = {} if mining == 4 else {"margin": margin}
    loss = MINED[mining](None, distance_metric=metric, **arguments)
    return loss.compute_loss_from_embeddings([batch["anchors"]], torch.tensor(batch["labels"]))


def views(batch):
    """All texts, and labels: a pair shares one, an explicit negative has its own."""
    n, m = len(batch["anchors"]), len(batch["documents"])
    return torch.cat([batch["anchors"], batch["documents"]]), torch.cat([torch.arange(n), torch.arange(m)])


def contrastive(batch, options):
    cosine, margin = options.get("distance", 2) == 2, options.get("margin", 0.5)
    metric = SiameseDistanceMetric.COSINE_DISTANCE if cosine else SiameseDistanceMetric.EUCLIDEAN
    if not options.get("squared", True):
        return None if options.get("only_hard") else by_the_book.linear_contrastive(
            batch, options.get("distance", 2), margin)
    kind = losses.OnlineContrastiveLoss if options.get("only_hard") else losses.ContrastiveLoss
    loss = kind(None, distance_metric=metric, margin=margin)
    return loss.compute_loss_from_embeddings([batch["anchors"], batch["documents"]], torch.tensor(batch["similar"]))


def of_kind(batch, name, options):
    pair = [batch["anchors"], batch["documents"]]
    scores = torch.tensor(batch.get("scores", []), dtype=batch["anchors"].dtype)
    if name == "info_nce":
        peer, book = info_nce_by_peer(batch, options), by_the_book.info_nce(batch, **options)
        assert peer is None or by_the_book.same(peer.item(), book.item()) or peer.dtype == torch.float32, (peer, book)
        return book if peer is None else peer
    if name == "nt_xent":
        return metric_losses.NTXentLoss(temperature=options.get("temperature", 0.07))(*views(batch))
    if name == "n_pair":
        reg = options.get("regularization", 0)
        book = by_the_book.n_pair(batch, reg)
        if len(batch["documents"]) > len(batch["anchors"]):
            return book
        peer = metric_losses.NPairsLoss(
            distance=distances.DotProductSimilarity(normalize_embeddings=False),
            embedding_regularizer=regularizers.LpRegularizer(power=2), embedding_reg_weight=reg)(*views(batch))
        assert abs(peer.item() - book.item()) < 1e-5 * abs(book.item()), (peer, book)
        return peer
    if name == "triplet":
        return triplet(batch, options)
    if name == "sup_con":
        loss = metric_losses.SupConLoss(temperature=options.get("temperature", 0.1))
        return loss(batch["anchors"], torch.tensor(batch["labels"]))
    if name == "contrastive":
        return contrastive(batch, options)
    if name == "sim_cse":
        loss = losses.MultipleNegativesRankingLoss(None, scale=options.get("scale", 20))
        return loss.compute_loss_from_embeddings(pair, None)
    if name == "cosent":
        return losses.CoSENTLoss(None, scale=options.get("scale", 20)).compute_loss_from_embeddings(pair, scores)
    if name == "angle":
        return losses.AnglELoss(None, scale=options.get("scale", 20)).compute_loss_from_embeddings(pair, scores)
    if name == "cosine_mse":
        return losses.CosineSimilarityLoss(None).compute_loss_from_embeddings(pair, scores)
    raise ValueError(name)


class Embedded(torch.nn.Module):
    """A model whose features are the embeddings, for MatryoshkaLoss."""

    def __init__(self, dimensions):
        super().__init__()
        self.dimensions = dimensions

    def get_embedding_dimension(self):
        return self.dimensions

    def forward(self, features):
        return {"sentence_embedding": features["embedding"]}


class Inner(torch.nn.Module):
    """The loss that MatryoshkaLoss goes around, on whatever its model gives."""

    def __init__(self, model, batch, name, options):
        super().__init__()
        self.model, self.batch, self.name, self.options = model, batch, name, options

    def forward(self, features, labels):
        del labels
        parts = [self.model(f)["sentence_embedding"] for f in features]
        return of_kind({**self.batch, "anchors": parts[0], "documents": parts[1]}, self.name, self.options)


def peer(batch, loss):
    """The value of the loss with this JSON on the batch."""
    (name, options), = [item for item in loss.items() if item[0] != "matryoshka"]
    if "matryoshka" not in loss:
        return of_kind(batch, name, options)
    model = Embedded(batch["anchors"].shape[1])
    around = losses.MatryoshkaLoss(model, Inner(model, batch, name, options), loss["matryoshka"]["dimensions"],
                                   loss["matryoshka"]["weights"] or None)
    return around([{"embedding": batch["anchors"]}, {"embedding": batch["documents"]}], None)
