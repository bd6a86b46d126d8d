#!/usr/bin/env python3
"""Writes the reference numbers of tests/server/encoder: what Python's sentence-transformers and tokenizers compute.

    make_golden.py MODEL_DIR OUT_DIR

MODEL_DIR is all-MiniLM-L6-v2 as deploy/setup.sh puts it into the prefix. Needs sentence-transformers (6.2 made the committed
files) and torch. Writes
  texts.jsonl      1,000 texts, one JSON string a line
  ids.bin          for each text: int32 token count before truncation, int32 n, then n int32 ids (max_length 256)
  embeddings.bin   1,000 x 384 float32, row-major
  tiny/<variant>/  small random BERTs, with expected.json: texts, ids and embeddings of each
All numbers are little-endian. Everything is made from fixed seeds.
"""

import json
import pathlib
import random
import shutil
import struct
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

ENGLISH = """the of and to in for is on that by this with you it not or be are from at as your all have new more an was we
will home can us about if page my has search free but our one other do no information time they site he up may what which
their news out use any there see only so his when contact here business who web also now help get view online first am been
would how were services some these click its like service than find price date back top people had list name just over state
year day into email two health world next used go work last most products music buy data make them should product system post
her city add policy number such please available copyright support message after best software then good video well where info
rights public books high school through each links she review years order very privacy book items company read group need many
running café naïve Zürich résumé coöperate don't can't it's e-mail 3.14 1,000 2024-02-29 C++20 x86_64 foo@bar.example #tag""".split()
CHINESE = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日那社义事平形相全表间样与关各重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想已通并提直题党程展五果料象员革位入常文总次品式活设及管特件长求老头基资边流路级少图山统接知较将组见计别她手角期根论运农指几九区强放决西被干做必战先回则任取完举色"
ODD = ["", " ", "a", "Z", "中", "\u0000", "a\u0000b", "\t\n\r", "\u0001\u0002\u001f\u007f", "\ufeffbom", "\ufffd", "\u200b", "\u00a0",
       "\u2028line\u2029paragraph", "😀", "👩‍👩‍👧‍👦 family", "🇨🇭🇩🇪", "👍🏽", "e\u0301 vs é", "Å Å", "q\u0323\u0307", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞", "مرحبا بالعالم", "שָׁלוֹם עולם", "\u202eright to left\u202c",
       "नमस्ते दुनिया", "สวัสดีชาวโลก", "こんにちは世界カタカナ", "안녕하세요 세계", "Привет, мир", "Γειά σου Κόσμε", "ﬁ ligature ﬀ", "ｆｕｌｌｗｉｄｔｈ １２３", "İstanbul ıspanak", "ẞ straße", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
       "[CLS] [SEP] [MASK] [PAD] [UNK]", "[CLS]", "a [SEP] b", "##ing", "###", "http://example.com/a?b=c&d=%20#e", "a" * 100, "a" * 101, "supercalifragilisticexpialidocious" * 3,
       "!!!???...,,,", "$€£¥₿", "½ ¼ ² ³ ™ ® ©", "\\n \\t \\\\ \"quoted\" 'single'", "<b>html</b>&amp;", "{\"json\": [1, 2, 3]}", "\U0010ffff", "\ue000private", "x" * 20000, "word " * 4000,
       "中文" * 10000, "mixed 中文 and English 123", "\n".join(["line"] * 300), "é" * 1000, "😀" * 600, "a b " * 127, "a b " * 127 + "c", "a b " * 126 + "a"]


def make_texts():
    rng = random.Random(20240229)
    texts = list(ODD)
    ranges = [(0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F),
              (0x2000, 0x206F), (0x2190, 0x22FF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFE00, 0xFFFD), (0x1F300, 0x1F6FF), (0x0, 0x1F)]
    while len(texts) < 1000:
        kind = len(texts) % 10
        if kind < 5:
            words = [rng.choice(ENGLISH) for _ in range(rng.randint(1, 60))]
            text = " ".join(word.capitalize() if rng.random() < 0.1 else word for word in words) + rng.choice(["", ".", "?", "!"])
        elif kind < 8:
            text = "".join(rng.choice(CHINESE) for _ in range(rng.randint(1, 80))) + rng.choice(["", "。", "？"])
        elif kind == 8:
            text = " ".join(rng.choice(ENGLISH) if rng.random() < 0.5 else "".join(rng.choice(CHINESE) for _ in range(rng.randint(1, 6)))
                            for _ in range(rng.randint(1, 30)))
        else:
            low, high = rng.choice(ranges)
            text = "".join(chr(rng.randint(low, high)) if rng.random() < 0.8 else " " for _ in range(rng.randint(1, 60)))
        texts.append(text)
    return texts


def write_minilm(model_dir, out):
    texts = make_texts()
    model = SentenceTransformer(str(model_dir), device="cpu")
    tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    counts = [len(tokenizer.encode(text).ids) for text in texts]
    ids = model.tokenizer(texts, truncation=True, max_length=256)["input_ids"]
    with open(out / "texts.jsonl", "w", encoding="utf-8") as file:
        for text in texts:
            file.write(json.dumps(text, ensure_ascii=False) + "\n")
    with open(out / "ids.bin", "wb") as file:
        for count, row in zip(counts, ids):
            file.write(struct.pack(f"<{len(row) + 2}i", count, len(row), *row))
    embeddings = model.encode(texts, batch_size=16, convert_to_numpy=True).astype("<f4")
    assert embeddings.shape == (1000, 384)
    (out / "embeddings.bin").write_bytes(embeddings.tobytes())


TINY_TEXTS = ["", "a", "the cat sat on the mat", "cats and dogs are not the same", "数 中 文", "THE CAT!", "the cat " * 40]


def tiny_tokenizer():
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] the cat sat on mat ##s and dog are not same 中 文 数 a c d ##a ##t ! : query passage".split()
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                             special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return tokenizer, len(words)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


# name: activation, pooling file, normalize, prompts, similarity, stored type, tensor name prefix, shards, truncation side
VARIANTS = {
    "mean": ("gelu", {"embedding_dimension": 16, "pooling_mode": "mean", "include_prompt": True}, True, {}, "cosine", torch.float32, "", 1, "right"),
    "cls_sharded_prefixed": ("gelu_new", {"word_embedding_dimension": 16, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
                             False, {}, "dot", torch.float32, "bert.", 3, "right"),
    "max_half": ("gelu", {"word_embedding_dimension": 16, "pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": False},
                 True, {}, None, torch.float16, "", 1, "left"),
    "prompts_bfloat16": ("gelu_pytorch_tanh", {"embedding_dimension": 16, "pooling_mode": ["mean"], "include_prompt": True},
                         True, {"query": "query: ", "document": "passage: "}, "cosine", torch.bfloat16, "bert.", 1, "right"),
    "plain": ("gelu", None, False, {}, None, torch.float32, "", 1, "right"),
}


def write_weights(folder, state, prefix, shards):
    state = {prefix + name: value.contiguous() for name, value in state.items()}
    if prefix:  # As in a checkpoint of BertForPreTraining: buffers, old LayerNorm names and heads that no embedding needs.
        state = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value for name, value in state.items()}
        state["bert.embeddings.position_ids"] = torch.arange(24).unsqueeze(0)
        state["cls.predictions.bias"] = torch.zeros(4)
    if shards == 1:
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(state)
    weight_map = {}
    for i in range(shards):
        part = names[i::shards]
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        save_file({name: state[name] for name in part}, folder / file, metadata={"format": "pt"})
        weight_map.update({name: file for name in part})
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})


def write_tiny(out, name, activation, pooling, normalize, prompts, similarity, dtype, prefix, shards, side):
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer, size = tiny_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 20, "truncation_side": side,
                                                  "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"})
    torch.manual_seed(sum(name.encode()))
    config = BertConfig(vocab_size=size, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32, max_position_embeddings=24,
                        hidden_act=activation, initializer_range=0.5, layer_norm_eps=1e-7)
    bert = BertModel(config, add_pooling_layer=True).to(dtype).eval()
    with torch.no_grad():
        for value in bert.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    config.architectures = ["BertModel"]
    config.dtype = dtype
    config.to_json_file(folder / "config.json", use_diff=False)
    write_weights(folder, bert.state_dict(), prefix, shards)
    if pooling is not None:
        modules = ["Transformer", "Pooling"] + (["Normalize"] if normalize else [])
        write_json(folder / "modules.json", [{"idx": i, "name": str(i), "path": "" if i == 0 else f"{i}_{module}", "type": "sentence_transformers.models." + module}
                                             for i, module in enumerate(modules)])
        for i, module in enumerate(modules[1:], 1):
            (folder / f"{i}_{module}").mkdir()
        write_json(folder / "1_Pooling" / "config.json", pooling)
        if normalize:
            write_json(folder / "2_Normalize" / "config.json", {})
        write_json(folder / "sentence_bert_config.json", {"max_seq_length": 18, "do_lower_case": False})
        write_json(folder / "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": similarity})
    model = SentenceTransformer(str(folder), device="cpu").float()
    expected = {"texts": TINY_TEXTS, "query": {}, "document": {}}
    for role, encode in (("query", model.encode_query), ("document", model.encode_document)):
        prompt = prompts.get(role, "")
        expected[role]["ids"] = model.tokenizer([prompt + text for text in TINY_TEXTS], truncation=True)["input_ids"]
        expected[role]["embeddings"] = [[round(float(x), 8) for x in row] for row in encode(TINY_TEXTS)]
    expected["max_length"] = model.max_seq_length
    (folder / "expected.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n", encoding="utf-8")


def main():
    model_dir, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    torch.set_num_threads(2)
    out.mkdir(parents=True, exist_ok=True)
    write_minilm(model_dir, out)
    for name, options in VARIANTS.items():
        write_tiny(out / "tiny", name, *options)


if __name__ == "__main__":
    main()
