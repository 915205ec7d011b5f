"""What a config of peft's means in a model, by peft itself, and files that lack some of it."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import transformers
from lazy_peft import peft
from torch import Tensor, nn

import hydra_peft
from hydra_peft.adaptation import peft_targets
from hydra_peft.adaptation.peft_loading import take_peft
from hydra_peft.errors import UserError
from hydra_peft.tensor_files import read_tensors, write_tensors

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def small(outputs: int = 5, **changes: Any) -> nn.Module:
    torch.manual_seed(3)
    shape = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 2, "num_heads": 2}
    shape |= changes
    return timm.create_model("vit_tiny_patch16_224", num_classes=outputs, **shape).eval()


def vit_of_transformers() -> nn.Module:
    torch.manual_seed(3)
    config = transformers.ViTConfig(**SIZES, intermediate_size=32, image_size=32, patch_size=16)
    return transformers.ViTForImageClassification(config).eval()


def encoder(kind: str = "Bert") -> nn.Module:
    torch.manual_seed(3)
    config = getattr(transformers, f"{kind}Config")(**SIZES, intermediate_size=32, vocab_size=50)
    config.pad_token_id = 0
    return getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()


def save(folder: Path, make: Callable[[], nn.Module] = small, **options: Any) -> nn.Module:
    """A LoRA of peft's own with random values, saved by peft and read back by it."""
    torch.manual_seed(4)
    model = peft.get_peft_model(make(), peft.LoraConfig(r=2, **options))
    for name, parameter in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    loaded: nn.Module = peft.PeftModel.from_pretrained(make(), folder).eval()
    return loaded


def edit(folder: Path, **change: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


def outputs(model: nn.Module, x: Tensor) -> Tensor:
    out: Any = model(x)
    return out if isinstance(out, Tensor) else out.logits


PICTURES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
WORDS = torch.arange(1, 13).reshape(2, 6)


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({"target_modules": ["qkv", "mlp.fc2"]}, 4),
        ({"target_modules": r".*\.1\.attn\.(qkv|proj)"}, 2),
        ({"target_modules": "(?i).*QKV"}, 2),
        ({"target_modules": "all-linear", "modules_to_save": ["head"]}, 8),
        ({"target_modules": "all-linear", "exclude_modules": ["mlp.fc1", "head"]}, 6),
        ({"target_modules": ["qkv", "fc1"], "exclude_modules": r"blocks\.0\..*"}, 2),
        (
            {
                "target_modules": ["qkv", "fc1"],
                "layers_to_transform": 1,
                "layers_pattern": ["x", "blocks"],
            },
            2,
        ),
        ({"target_modules": ["fc1"], "layers_to_transform": [0], "layers_pattern": "blocks"}, 1),
        ({"target_modules": ["fc1", "head"], "modules_to_save": ["head", "score"]}, 2),
    ],
)
def test_what_peft_wrote_is_loaded(tmp_path: Path, options: dict[str, Any], layers: int) -> None:
    theirs, ours = save(tmp_path, **options), small()
    done = hydra_peft.load_peft(ours, tmp_path)
    assert len(done.layers) == layers
    torch.testing.assert_close(ours(PICTURES), theirs(PICTURES), atol=1e-5, rtol=1e-5)
    edit(tmp_path, target_modules=["qkv", "proj", "fc1", "fc2", "head"], exclude_modules=None)
    edit(tmp_path, layers_to_transform=None, layers_pattern=None)
    if layers < 8:
        with pytest.raises(UserError, match=r"has no LoRA on '[a-z0-9_.]+', one of \d+ layer"):
            hydra_peft.load_peft(small(), tmp_path)


@pytest.mark.parametrize(
    ("make", "options", "x", "head"),
    [
        (small, {}, PICTURES, ()),
        (small, {"modules_to_save": ["head"]}, PICTURES, ("head",)),
        (vit_of_transformers, {}, PICTURES, ()),
        (vit_of_transformers, {"modules_to_save": ["classifier"]}, PICTURES, ("classifier",)),
        (encoder, {"task_type": "SEQ_CLS"}, WORDS, ("classifier",)),
        (lambda: encoder("ModernBert"), {"task_type": "SEQ_CLS"}, WORDS, ("classifier",)),
    ],
)
def test_all_linear_layers_and_the_head_as_peft_has_them(
    tmp_path: Path,
    make: Callable[[], nn.Module],
    options: dict[str, Any],
    x: Tensor,
    head: tuple[str, ...],
) -> None:
    theirs = save(tmp_path, make, target_modules="all-linear", **options)
    for literal in ({}, {"target_modules": "all-linear"}):
        edit(tmp_path, **literal)
        ours = make()
        assert hydra_peft.load_peft(ours, tmp_path).head == head
        torch.testing.assert_close(outputs(ours, x), outputs(theirs, x), atol=1e-5, rtol=1e-5)
    hydra_peft.save_adapter(ours, tmp_path / "ours")
    hydra_peft.load_adapter(fresh := make(), tmp_path / "ours")
    hydra_peft.merge(fresh)
    torch.testing.assert_close(outputs(fresh, x), outputs(theirs, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("blocks.1.mlp", r"has no LoRA on 'blocks\.1\.mlp\.fc2', one of 1 layer of this Vision"),
        ("blocks.1", r"has no LoRA on 'blocks\.1\.attn\.qkv', one of 2 layers of this Vision"),
        ("head", r"lacks 'head\.weight', which modules_to_save=\['head'\] in adapter_config\.json"),
        ("head.bias", r"lacks 'head\.bias', which modules_to_save=\['head'\] in adapter_config"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(tmp_path: Path, part: str, told: str) -> None:
    save(tmp_path, target_modules=["qkv", "mlp.fc2"], modules_to_save=["head"])
    path = tmp_path / "adapter_model.safetensors"
    write_tensors(path, {n: t for n, t in read_tensors(path).items() if f".{part}" not in n}, {})
    with pytest.raises(UserError, match=told):
        hydra_peft.load_peft(small(), tmp_path)


def test_a_deeper_model_is_not_adapted_in_part(tmp_path: Path) -> None:
    save(tmp_path, target_modules=["qkv"])
    with pytest.raises(UserError, match=r"no LoRA on 'blocks\.2\.attn\.qkv'.* another backbone"):
        hydra_peft.load_peft(small(depth=3), tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"target_modules": 3}, "has target_modules=3: expected a list of names, or an exp"),
        ({"target_modules": ["qkv", 3]}, r"target_modules=\['qkv', 3\]: expected a list of names"),
        ({"modules_to_save": 5}, r"has modules_to_save=5: expected a list of names; save"),
        ({"modules_to_save": "head"}, r"modules_to_save='head': expected a list of names; save"),
        ({"layers_to_transform": "1"}, "layers_to_transform='1': expected a list of whole numbers"),
        ({"target_modules": "("}, r"names modules by '\(', which is no regular expression \("),
        ({"target_modules": "a{99999999999}"}, "which is no regular expression"),
        ({"target_modules": "(a+)+b"}, "which repeats a group, or has more than 5 repetitions"),
        ({"target_modules": "(.|..)*x"}, "could be matched without end: write it without, or as"),
        ({"target_modules": ".*.*.*.*.*.*x"}, "could be matched without end"),
        ({"target_modules": ".?" * 40 + "x"}, "could be matched without end"),
        ({"target_modules": "(.|..)" * 40 + "x"}, "could be matched without end"),
        ({"modules_to_save": ["(.|..){1,99}x"]}, "could be matched without end"),
        ({"target_modules": ["0.attn.qkv"]}, r"has a LoRA on 'blocks\.1\.attn\.qkv', which targ"),
        ({"modules_to_save": None}, r"has 'head\.bias', of no module that modules_to_save=None"),
    ],
)
def test_a_config_that_means_others_is_refused(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    save(tmp_path, target_modules=["qkv"], modules_to_save=["head"])
    edit(tmp_path, **change)
    with pytest.raises(UserError, match=told):
        hydra_peft.load_peft(small(), tmp_path)


def test_a_head_that_is_adapted_and_saved_in_parts(tmp_path: Path) -> None:
    def make() -> nn.Module:
        torch.manual_seed(0)
        head = nn.Sequential(OrderedDict(dense=nn.Linear(8, 8), last=nn.Linear(8, 3)))
        return nn.Sequential(OrderedDict(body=nn.Linear(6, 8), head=head)).eval()

    theirs = save(tmp_path, make, target_modules=["body", "dense"], modules_to_save=["last"])
    x, ours = torch.randn(4, 6), make()
    assert hydra_peft.load_peft(ours, tmp_path).head == ("head.last",)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)
    path = tmp_path / "adapter_model.safetensors"
    both = {**read_tensors(path), "base_model.model.head.dense.weight": torch.ones(8, 8)}
    write_tensors(path, {n: t for n, t in both.items() if ".last." not in n}, {})
    with pytest.raises(UserError, match=r"LoRA on 'head\.dense' and 'head\.dense\.weight' itself"):
        hydra_peft.load_peft(make(), tmp_path)


class Twice(nn.Module):
    def __init__(self, layer: nn.Module, *, whole: bool) -> None:
        super().__init__()
        self.one = nn.Sequential(OrderedDict(fc=layer))
        self.two = self.one if whole else nn.Sequential(OrderedDict(fc=layer))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.two(self.one(x).tanh()))
        return out


def twice(*, whole: bool) -> nn.Module:
    torch.manual_seed(0)
    return Twice(nn.Linear(6, 6), whole=whole).eval()


def test_shared_parts_are_adapted_as_peft_does_and_shared_layers_refused(tmp_path: Path) -> None:
    theirs = save(tmp_path, lambda: twice(whole=True), target_modules=["fc"])
    ours, x = twice(whole=True), torch.randn(4, 6)
    path = tmp_path / "adapter_model.safetensors"
    tensors = read_tensors(path)
    for again in ({}, {n.replace(".one.", ".two."): t for n, t in tensors.items()}):
        write_tensors(path, {**tensors, **again}, {})  # earlier versions wrote both names
        hydra_peft.load_peft(ours := twice(whole=True), tmp_path)
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)
    hydra_peft.save_peft(ours, tmp_path)
    assert {n for n in read_tensors(path) if "lora" in n} == tensors.keys()
    with pytest.raises(UserError, match=r"'one\.fc', which is 'two\.fc' too, one layer in two pl"):
        hydra_peft.load_peft(twice(whole=False), tmp_path)
    hydra_peft.inject(apart := twice(whole=False), "lora", targets=["fc"], head=())
    with pytest.raises(UserError, match=r"'one\.fc' is 'two\.fc' too, .* peft adapts the first"):
        hydra_peft.save_peft(apart, tmp_path)


def test_a_name_that_others_end_in_is_refused_where_they_are_not_adapted(tmp_path: Path) -> None:
    def make() -> nn.Module:
        torch.manual_seed(0)
        body = nn.Sequential(OrderedDict(fc1=nn.Linear(6, 6)))
        return nn.Sequential(OrderedDict(body=body, fc1=nn.Linear(6, 6)))

    save(tmp_path, make, target_modules="fc1")
    with pytest.raises(UserError, match=r"LoRA on 'fc1' and none on 'body\.fc1', which that name"):
        hydra_peft.load_peft(make(), tmp_path)


def test_a_head_with_running_statistics(tmp_path: Path) -> None:
    def make() -> nn.Module:
        model: Any = small(0)
        model.head = nn.Sequential(nn.BatchNorm1d(24), nn.Linear(24, 4))
        return model.eval()

    theirs = save(tmp_path / "peft", make, target_modules=["qkv"], modules_to_save=["head"])
    hydra_peft.load_peft(ours := make(), tmp_path / "peft")
    torch.testing.assert_close(ours(PICTURES), theirs(PICTURES), atol=1e-5, rtol=1e-5)
    ours.train()(PICTURES)
    hydra_peft.save_peft(ours.eval(), tmp_path / "ours")
    hydra_peft.load_peft(fresh := make(), tmp_path / "ours")
    assert fresh.get_buffer("head.0.num_batches_tracked") == 1
    torch.testing.assert_close(fresh(PICTURES), ours(PICTURES), atol=1e-5, rtol=1e-5)
    path = tmp_path / "ours/adapter_model.safetensors"
    tensors = read_tensors(path)
    counter = "base_model.model.head.0.num_batches_tracked"
    write_tensors(path, {**tensors, counter: tensors[counter].float()}, {})
    with pytest.raises(UserError, match="tracked' has dtype float32, expected int64"):
        hydra_peft.load_peft(make(), tmp_path / "ours")


def test_what_was_adapted_without_a_head_comes_back(
    tmp_path: Path, randomize: Callable[[nn.Module], None]
) -> None:
    hydra_peft.inject(ours := small(), "lora", head=())
    randomize(ours)
    hydra_peft.save_peft(ours, tmp_path)
    hydra_peft.load_peft(fresh := small(), tmp_path)
    torch.testing.assert_close(fresh(PICTURES), ours(PICTURES), atol=1e-5, rtol=1e-5)


def test_a_name_that_no_file_has_is_told() -> None:
    with pytest.raises(UserError, match=r"has no adapter_config\.json: give the folder of a peft"):
        hydra_peft.load_peft(small(), "a" * 300)


def test_a_start_from_a_lora_leaves_that_of_the_head_and_takes_no_part(tmp_path: Path) -> None:
    save(tmp_path, target_modules=["qkv", "mlp.fc2", "head"])
    path = tmp_path / "adapter_model.safetensors"
    tensors, x = read_tensors(path), torch.randn(4, 24)
    options: dict[str, Any] = {"rank": 2, "scale": 8.0, "rank_scale": "alpha_over_r", "bias": False}
    hydra_peft.inject(ours := small(7), "lora", targets=["qkv", "mlp.fc2"], **options)
    take_peft(ours, tmp_path)
    down, up = (
        tensors[f"base_model.model.blocks.1.attn.qkv.lora_{part}.weight"].double() for part in "AB"
    )
    layer: Any = ours.get_submodule("blocks.1.attn.qkv")
    expected = layer.base.double()(x.double()) + 4 * x.double() @ down.T @ up.T
    torch.testing.assert_close(layer.double()(x.double()), expected)
    write_tensors(path, {n: t for n, t in tensors.items() if ".1.mlp" not in n}, {})
    hydra_peft.inject(part := small(7), "lora", targets=["qkv", "0.mlp.fc2"], **options)
    with pytest.raises(UserError, match=r"no LoRA on 'blocks\.1\.mlp\.fc2', one of 1 layer of"):
        take_peft(part, tmp_path)


@pytest.mark.parametrize(
    "pattern",
    [
        r".*\.attn\.(qkv|proj)",
        r"(.*\.)?blocks\.\d+\.attn\.[a-z*+]+",
        r"(?:.*?(?:blocks|layers).*?(?:attn|mlp).*?(?:qkv|fc1).*?)|(?:layers\.[\d]{1,}\.(?:attn))",
        r"a\)*b\{\+",
        r"(?i)(?!.*head).*\.(?:attn|mlp)\.(?P<kind>qkv|fc1)$",
    ],
)
def test_usual_expressions_end_soon(pattern: str) -> None:
    assert peft_targets._ends_soon(pattern)


def llama(*, tied: bool) -> nn.Module:
    torch.manual_seed(3)
    sizes = {**SIZES, "intermediate_size": 32, "vocab_size": 50, "tie_word_embeddings": tied}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes)).eval()


def test_unlike_values_of_what_a_model_ties(tmp_path: Path) -> None:
    """As of a vocabulary that was extended: peft trains both apart."""
    options = {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]}
    theirs, ours = save(tmp_path, lambda: llama(tied=False), **options), llama(tied=False)
    hydra_peft.load_peft(ours, tmp_path)
    torch.testing.assert_close(outputs(ours, WORDS), outputs(theirs, WORDS), atol=1e-5, rtol=1e-5)
    tied = llama(tied=True)
    with pytest.raises(
        UserError, match=r"other values for 'lm_head.weight' than for 'model.embed_"
    ):
        hydra_peft.load_peft(tied, tmp_path)
    assert all(parameter.requires_grad for parameter in tied.parameters())


def test_a_lora_on_the_output_of_words_with_its_frozen_copy(tmp_path: Path) -> None:
    def make() -> nn.Module:
        return llama(tied=False)

    theirs, ours = save(tmp_path, make, target_modules=["q_proj", "lm_head"]), make()
    hydra_peft.load_peft(ours, tmp_path)
    torch.testing.assert_close(outputs(ours, WORDS), outputs(theirs, WORDS), atol=1e-5, rtol=1e-5)
    names = read_tensors(tmp_path / "adapter_model.safetensors")
    if any(".base_layer." in name for name in names):
        other = make()
        nn.init.normal_(other.lm_head.weight)
        with pytest.raises(UserError, match=r"has the frozen 'lm_head.weight' too, with other val"):
            hydra_peft.load_peft(other, tmp_path)


@pytest.mark.parametrize("saved", [["lm_head", "embed_tokens"], ["embed_tokens"], None])
def test_embeddings_that_were_resized_are_written_several_times(
    tmp_path: Path, saved: list[str] | None
) -> None:
    llama(tied=False).save_pretrained(tmp_path / "base")

    def make() -> nn.Module:
        base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
        torch.manual_seed(0)
        base.resize_token_embeddings(54)
        resized: nn.Module = base.eval()
        return resized

    options = {"target_modules": ["q_proj"], "modules_to_save": saved, "task_type": "CAUSAL_LM"}
    theirs, ours = save(tmp_path / "lora", make, **options), make()
    hydra_peft.load_peft(ours, tmp_path / "lora")
    torch.testing.assert_close(outputs(ours, WORDS), outputs(theirs, WORDS), atol=1e-5, rtol=1e-5)


def test_a_lora_on_an_embedding(tmp_path: Path) -> None:
    save(tmp_path, lambda: llama(tied=False), target_modules=["q_proj", "embed_tokens"])
    with pytest.raises(UserError, match=r"has a LoRA on an embedding, 'model\.embed_tokens\.lo"):
        hydra_peft.load_peft(llama(tied=False), tmp_path)


def test_modules_saved_beside_the_head(tmp_path: Path) -> None:
    options = {"target_modules": ["qkv"], "modules_to_save": ["head", "fc_norm", "norm"]}
    theirs, ours = save(tmp_path, **options), small()
    done = hydra_peft.load_peft(ours, tmp_path)
    assert {"head", "norm"} <= set(done.head)
    hydra_peft.save_peft(ours, tmp_path / "again")  # patch_embed.norm holds nothing
    torch.testing.assert_close(ours(PICTURES), theirs(PICTURES), atol=1e-5, rtol=1e-5)


def test_a_rank_beyond_the_layers_own(tmp_path: Path) -> None:
    save(tmp_path, lambda: small(1), target_modules=["qkv", "head"])
    with pytest.raises(
        UserError, match=r"LoRA of rank 2 on 'head', a linear layer 24->1 .* at mos"
    ):
        hydra_peft.load_peft(small(1), tmp_path)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_bias_that_peft_has_not_follows_the_others(tmp_path: Path, dtype: torch.dtype) -> None:
    options = {"target_modules": ["qkv", "fc1"], "lora_bias": True, "lora_dropout": 0.3}
    theirs, ours = save(tmp_path, **options), small().to(dtype)
    hydra_peft.load_peft(ours, tmp_path)
    trained = hydra_peft.trainable_parameters(ours).adapter.values()
    assert {parameter.dtype for parameter in trained} == {torch.float32}
    x = PICTURES.to(dtype)
    torch.testing.assert_close(ours(x).float(), theirs(PICTURES), atol=0.1, rtol=0.1)
    ours.train()(x).float().sum().backward()
