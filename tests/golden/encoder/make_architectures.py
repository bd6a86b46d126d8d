#!/usr/bin/env python3
"""Writes the reference numbers of tests/server/encoder/architectures_test.cc: what transformers and sentence-transformers compute.

    make_architectures.py OUT_DIR      (OUT_DIR: tests/golden/encoder/architectures)

Needs transformers (5.23 made the committed files), sentence-transformers (6.2), tokenizers (0.23) and torch (2.15). Each
OUT_DIR/<name>/ is a small random model of one architecture with its tokenizer, in transformers' own files, and
  expected.json          texts; for queries and documents the ids and embeddings; loss; embeddings after one step
  gradients.safetensors  of the loss, by the names of model.safetensors
The loss is InfoNCE: the first half of the texts against the second half, cosines times 20, without dropout. The step is
SGD with the learning rate of expected.json. Everything is made from fixed seeds.
"""

import json
import pathlib
import random
import shutil
import sys

import torch
import transformers
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

WORDS = """the of and to in for is on that by this with you it not or be are from at as your all have new more an was we will
home can us about if page my has search free but our one other do no information time they site he up may what which their
news out use any there see only so his when contact here business who web also now help get view online first am been would
how were services some these click its like service than find price date back top people list name just over state""".split()
RATE = 0.05


def texts():
    """Lengths on both sides of a local window of 8 and of two blocks of 64 queries."""
    rng = random.Random(7)
    sentence = lambda count: " ".join(rng.choice(WORDS) for _ in range(count))
    some = ["", "a", "The cat sat on the mat.", "Zürich naïve 中文 ½", " two  spaces\nand a line ", sentence(9), sentence(30), sentence(75)]
    return some + [sentence(1), "b", "cats & dogs: 3.14!", "über den Wolken", "the <pad> of [PAD] <s> it", sentence(12), sentence(60), sentence(130)]


def corpus():
    rng = random.Random(8)
    return [" ".join(rng.choice(WORDS) for _ in range(20)) for _ in range(200)]


def word_piece(special, unknown):
    tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.train_from_iterator(corpus(), trainers.WordPieceTrainer(vocab_size=140, special_tokens=special, show_progress=False))
    return tokenizer


def byte_pairs(special, splitter):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def distilbert_tokenizer():
    tokenizer = word_piece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "[UNK]")
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                             special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return tokenizer, {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": True, "pad_token": "[PAD]", "unk_token": "[UNK]",
                       "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}


SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
ROBERTA_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "mask_token": "<mask>"}


def mpnet_tokenizer():
    tokenizer = word_piece(SPECIAL[:3] + ["[UNK]", "<mask>"], "[UNK]")
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, False)
    return tokenizer, {"tokenizer_class": "MPNetTokenizer", "do_lower_case": True, "unk_token": "[UNK]", **ROBERTA_TOKENS}


def roberta_tokenizer():
    tokenizer = byte_pairs(SPECIAL, pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, False)
    return tokenizer, {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": False, "unk_token": "<unk>", **ROBERTA_TOKENS}


def xlm_roberta_tokenizer():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(corpus(), trainers.UnigramTrainer(vocab_size=140, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>",
                                                             special_tokens=[("<s>", 0), ("</s>", 2)])
    return tokenizer, {"tokenizer_class": "XLMRobertaTokenizer", "unk_token": "<unk>", **ROBERTA_TOKENS}


def modernbert_tokenizer():
    tokenizer = byte_pairs(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"], pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                             special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]",
                       "sep_token": "[SEP]", "mask_token": "[MASK]"}


QWEN_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def qwen3_tokenizer():
    splitter = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated"),
                                        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = byte_pairs(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], splitter)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(add_prefix_space=False, use_regex=False, trim_offsets=False),
        processors.TemplateProcessing(single="$A <|endoftext|>", pair="$A $B:1 <|endoftext|>:1", special_tokens=[("<|endoftext|>", 0)])])
    return tokenizer, {"tokenizer_class": "Qwen2Tokenizer", "pad_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "padding_side": "left"}


BERT_SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, layer_norm_eps=1e-6)
ROBERTA_SIZES = dict(BERT_SIZES, max_position_embeddings=146, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2)
MODERNBERT_SIZES = dict(hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=24, local_attention=16, max_position_embeddings=160,
                        pad_token_id=3, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)
QWEN3_SIZES = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=12, intermediate_size=40,
                   max_position_embeddings=160, pad_token_id=0, eos_token_id=0, tie_word_embeddings=True)

# name: tokenizer, model class, config, pooling, prompts, stored type, prefix of the tensors' names
MODELS = {
    "roberta": (roberta_tokenizer, transformers.RobertaModel, ROBERTA_SIZES, "mean", {}, torch.float32, ""),
    "xlm_roberta": (xlm_roberta_tokenizer, transformers.XLMRobertaModel, ROBERTA_SIZES, "cls", {"query": "query: ", "document": "passage: "},
                    torch.float32, "roberta."),
    "distilbert": (distilbert_tokenizer, transformers.DistilBertModel,
                   dict(dim=32, n_layers=2, n_heads=4, hidden_dim=48, max_position_embeddings=144), "mean", {}, torch.float32, "distilbert."),
    "mpnet": (mpnet_tokenizer, transformers.MPNetModel, dict(BERT_SIZES, max_position_embeddings=146), "mean", {}, torch.float32, ""),
    "modernbert": (modernbert_tokenizer, transformers.ModernBertModel, MODERNBERT_SIZES, "cls", {}, torch.float32, ""),
    "modernbert_biases": (modernbert_tokenizer, transformers.ModernBertModel,
                          dict(MODERNBERT_SIZES, num_hidden_layers=2, norm_bias=True, attention_bias=True, mlp_bias=True, local_attention=7,
                               layer_types=["sliding_attention", "full_attention"], hidden_activation="gelu_pytorch_tanh"), "mean", {},
                          torch.float32, "model."),
    "qwen3": (qwen3_tokenizer, transformers.Qwen3Model, QWEN3_SIZES, "lasttoken",
              {"query": "Instruct: find\nQuery:", "document": ""}, torch.bfloat16, ""),
    "qwen3_window": (qwen3_tokenizer, transformers.Qwen3Model,
                     dict(QWEN3_SIZES, attention_bias=True, use_sliding_window=True, sliding_window=9, max_window_layers=1), "mean", {},
                     torch.float32, "model."),
}


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8")


def write_model(folder, make_tokenizer, model_class, sizes, pooling, prompts, dtype, prefix):
    tokenizer, tokenizer_config = make_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", dict(tokenizer_config, model_max_length=144))
    torch.manual_seed(sum(folder.name.encode()))
    config = model_class.config_class(vocab_size=tokenizer.get_vocab_size(), initializer_range=0.3, **sizes)
    model = model_class(config)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.add_(torch.randn_like(value) * 0.1)
    config.architectures = [model_class.__name__]
    config.dtype = dtype
    config.to_json_file(folder / "config.json", use_diff=False)
    state = {prefix + name: value.to(dtype).contiguous() for name, value in model.state_dict().items() if "position_ids" not in name}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    kinds = ["Transformer", "Pooling", "Normalize"]
    write_json(folder / "modules.json", [{"idx": i, "name": str(i), "path": "" if i == 0 else f"{i}_{kind}",
                                          "type": "sentence_transformers.models." + kind} for i, kind in enumerate(kinds)])
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": pooling == "mean",
                                                      "pooling_mode_cls_token": pooling == "cls", "pooling_mode_lasttoken": pooling == "lasttoken"})
    (folder / "2_Normalize").mkdir()
    write_json(folder / "2_Normalize" / "config.json", {})
    write_json(folder / "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"})


def rounded(vectors):
    return [[round(float(x), 7) for x in row] for row in vectors]


def write_expected(folder, prompts, prefix):
    model = SentenceTransformer(str(folder), device="cpu").float().eval()
    expected = {"texts": texts(), "max_length": model.max_seq_length, "rate": RATE}
    for role, encode in (("query", model.encode_query), ("document", model.encode_document)):
        prompted = [prompts.get(role, "") + text for text in texts()]
        expected[role] = {"ids": model.tokenizer(prompted, truncation=True)["input_ids"], "embeddings": rounded(encode(texts()))}
    def embed():
        return model(model.preprocess(texts()))["sentence_embedding"]
    vectors = torch.nn.functional.normalize(embed(), dim=1)
    half = len(vectors) // 2
    loss = torch.nn.functional.cross_entropy(vectors[:half] @ vectors[half:].T * 20, torch.arange(half))
    loss.backward()
    parameters = dict(model[0].auto_model.named_parameters())
    unused = [name for name, value in parameters.items() if value.grad is None]
    assert all(name.startswith("pooler") for name in unused), unused
    save_file({prefix + name: value.grad.contiguous() for name, value in parameters.items() if value.grad is not None},
              folder / "gradients.safetensors")
    with torch.no_grad():
        for value in parameters.values():
            if value.grad is not None:
                value -= RATE * value.grad
        expected["after"] = rounded(embed())
    expected["loss"] = loss.item()
    write_json(folder / "expected.json", expected)


def main():
    out = pathlib.Path(sys.argv[1])
    torch.set_num_threads(1)
    for name, (make_tokenizer, model_class, sizes, pooling, prompts, dtype, prefix) in MODELS.items():
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).mkdir(parents=True)
        write_model(out / name, make_tokenizer, model_class, sizes, pooling, prompts, dtype, prefix)
        write_expected(out / name, prompts, prefix)


if __name__ == "__main__":
    main()
