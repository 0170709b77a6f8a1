"""Networks of torchvision, timm and transformers as ONNX files: architectures and code of others, seeded weights.

    python benchmarks/strangers/make_torch.py PACKAGE NAME OUT.onnx

Run in a process (and, with --torch-python, an interpreter) of its own. Networks of transformers are the library's own code with
a small configuration; those of torchvision and timm are as they ship, for small images where they allow it.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass, field
from typing import Any

import torch

Net = tuple[torch.nn.Module, tuple[Any, ...]]
# What is smaller than the library's default, so that a text or sound network runs in seconds on two cores.
TEXT = {
    "vocab_size": 128,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 64,
}
VISION = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
# Through PyTorch's older exporter, at this opset: as many files in the wild are made, and where the newer one fails.
LEGACY = {"ssdlite320_mobilenet_v3_large": 13, "EncodecModel": 17, "T5EncoderModel": 14, "skresnet18": 11, "AlbertModel": 14}
HYBRID = {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1]}

try:
    import torchvision  # noqa: F401
except (ImportError, RuntimeError):
    # torchvision's compiled operators do not load beside every torch; these networks need their declarations only.
    _DECLARED: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for _name in ("nms", "qnms"):
        _DECLARED.define(_name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def _suppress(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """torchvision::nms where its compiled form is missing: greedy suppression by overlap."""
    order, kept = scores.argsort(descending=True), []
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        low, high = torch.maximum(boxes[best, :2], boxes[order, :2]), torch.minimum(boxes[best, 2:], boxes[order, 2:])
        shared = (high - low).clamp(min=0).prod(dim=1)
        order = order[shared <= threshold * (area[best] + area[order] - shared)]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.int64)


if not torch._C._dispatch_has_kernel_for_dispatch_key("torchvision::nms", "CPU"):
    _DECLARED.impl("nms", _suppress, "CPU")


class First(torch.nn.Module):
    """A network of transformers with tensors in and out: the outputs named, in order."""

    def __init__(self, net: Any, wanted: tuple[str, ...], **fixed: Any) -> None:
        super().__init__()
        self.net, self.wanted, self.fixed = net, wanted, fixed

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        result = self.net(x, **self.fixed)
        return tuple(result[name] for name in self.wanted)


@dataclass(frozen=True)
class Recipe:
    """A class of transformers: its configuration, the outputs kept, and the shape of its input (of ids when of rank 2
    and `ids`). part: the module of it that is the network; bare: it takes and gives plain tensors. fixed: arguments."""

    config: str
    changes: dict[str, Any]
    outputs: tuple[str, ...] = ("last_hidden_state",)
    shape: tuple[int, ...] = (1, 16)
    ids: bool = False
    part: str = ""
    bare: bool = False
    fixed: dict[str, Any] = field(default_factory=dict)


EAGER = {"attn_implementation": "eager"}
LOGITS = ("logits",)
IMAGE = (1, 3, 64, 64)
SOUND = {**VISION, "vocab_size": 32, "conv_dim": [32] * 7, "num_conv_pos_embedding_groups": 4}
MOBILE = {**TEXT, "embedding_size": 32, "intra_bottleneck_size": 32, "hidden_size": 64}
T5 = {"vocab_size": 128, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
GPT2 = {"vocab_size": 128, "n_positions": 64, "n_embd": 64, "n_layer": 2, "n_head": 4, **EAGER}
WHISPER = {
    "vocab_size": 128,
    "d_model": 64,
    "max_source_positions": 100,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
GAN = {"model_in_dim": 40, "upsample_initial_channel": 32, "upsample_rates": [4, 4], "upsample_kernel_sizes": [8, 8]}
SWIN = {"image_size": 32, "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 2], "window_size": 8, "upscale": 2}
DEPTH = {
    **VISION,
    "num_hidden_layers": 4,
    "image_size": 64,
    "patch_size": 16,
    "backbone_out_indices": [0, 1, 2, 3],
    "neck_hidden_sizes": [16, 24, 32, 48],
    "fusion_hidden_size": 32,
}
SERIES = {
    "num_input_channels": 3,
    "context_length": 64,
    "patch_length": 8,
    "patch_stride": 8,
    "d_model": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "ffn_dim": 64,
    "prediction_length": 16,
}
YOLO = {**VISION, "image_size": [64, 64], "num_detection_tokens": 8, "use_mid_position_embeddings": False}
POSE = {"image_size": [64, 48], "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "out_indices": [2]}
TRANSFORMERS: dict[str, Recipe] = {
    "BertModel": Recipe("BertConfig", {**TEXT, **EAGER}, ("last_hidden_state", "pooler_output"), ids=True),
    "AlbertModel": Recipe("AlbertConfig", {**TEXT, "embedding_size": 32}, ids=True),
    "MobileBertModel": Recipe("MobileBertConfig", MOBILE, ids=True),
    "SqueezeBertModel": Recipe("SqueezeBertConfig", {**TEXT, "embedding_size": 64}, ids=True),
    "T5EncoderModel": Recipe("T5Config", T5, ids=True),
    "GPT2LMHeadModel": Recipe("GPT2Config", GPT2, LOGITS, ids=True, fixed={"use_cache": False}),
    "LlamaForCausalLM": Recipe(
        "LlamaConfig", {**TEXT, "num_key_value_heads": 2, **EAGER}, LOGITS, ids=True, fixed={"use_cache": False}
    ),
    "Wav2Vec2ForCTC": Recipe("Wav2Vec2Config", SOUND, LOGITS, (1, 8000)),
    "WhisperModel": Recipe("WhisperConfig", WHISPER, shape=(1, 80, 200), part="encoder"),
    "ASTForAudioClassification": Recipe("ASTConfig", {**VISION, "num_mel_bins": 64, "max_length": 96}, LOGITS, (1, 96, 64)),
    "EncodecModel": Recipe(
        "EncodecConfig",
        {"num_filters": 8, "hidden_size": 32, "upsampling_ratios": [4, 2, 2]},
        shape=(1, 1, 1600),
        part="encoder",
        bare=True,
    ),
    "SpeechT5HifiGan": Recipe("SpeechT5HifiGanConfig", GAN, shape=(1, 20, 40), bare=True),
    "SegformerForSemanticSegmentation": Recipe(
        "SegformerConfig", {**HYBRID, "num_attention_heads": [1, 1, 2, 4], "decoder_hidden_size": 32}, LOGITS, IMAGE
    ),
    "YolosForObjectDetection": Recipe("YolosConfig", YOLO, ("logits", "pred_boxes"), IMAGE),
    "VitPoseForPoseEstimation": Recipe(
        "VitPoseConfig",
        {"backbone_config": ("VitPoseBackboneConfig", POSE), "num_labels": 17, "use_simple_decoder": False},
        ("heatmaps",),
        (1, 3, 64, 48),
    ),
    "Swin2SRForImageSuperResolution": Recipe("Swin2SRConfig", SWIN, ("reconstruction",), (1, 3, 32, 32)),
    "DPTForDepthEstimation": Recipe("DPTConfig", DEPTH, ("predicted_depth",), IMAGE),
    "PatchTSTForPrediction": Recipe("PatchTSTConfig", SERIES, ("prediction_outputs",), (1, 64, 3)),
}


def transformers_net(name: str) -> Net:
    """(network, example inputs) of one class of transformers, small configuration."""
    import transformers

    library: Any = transformers
    if name == "SuperPointKeypointDecoder":
        return _superpoint(library), (torch.zeros(1, 128, 12, 16),)
    recipe = TRANSFORMERS[name]
    changes = {k: getattr(library, v[0])(**v[1]) if isinstance(v, tuple) else v for k, v in recipe.changes.items()}
    net = getattr(library, name)(getattr(library, recipe.config)(**changes))
    if recipe.part:
        net = getattr(net, recipe.part)
    shape = recipe.shape
    example = torch.arange(shape[1]).reshape(shape) % 100 if recipe.ids else torch.zeros(shape)
    return net if recipe.bare else First(net, recipe.outputs, **recipe.fixed), (example,)


def _nothing() -> None:
    return None


def _superpoint(t: Any) -> torch.nn.Module:
    """The dense part of the key point head: scores of every pixel, non-maxima suppressed."""
    from transformers.models.superpoint import modeling_superpoint as s

    head: Any = s.SuperPointInterestPointDecoder(t.SuperPointConfig())

    class Scores(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = head

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.head._get_pixel_scores(x))

    return Scores()


def vision_net(package: str, name: str) -> Net:
    """(network, example image or clip) of torchvision or timm; batch norms have seen one batch."""
    if package == "timm":
        import timm

        fixed = {"resmlp_12_224": 224, "xcit_nano_12_p16_224": 224, "levit_128s": 224}
        size = fixed.get(name, 96)
        extra: dict[str, Any] = {"img_size": size} if name.startswith("vit_") else {}
        net: Any = timm.create_model(name, pretrained=False, num_classes=100, **extra)
        shape: tuple[int, ...] = (3, size, size)
    else:
        import torchvision

        if name.startswith("ssd"):
            boxes: Any = torchvision.ops.boxes
            boxes._assert_has_ops = _nothing
        sizes = {"r3d_18": (3, 8, 64, 64), "ssdlite320_mobilenet_v3_large": (3, 320, 320)}
        shape = sizes.get(name, (3, 96, 96))
        few = {} if name.startswith("ssd") else {"num_classes": 21}
        if "deeplab" in name or "lraspp" in name:
            few["weights_backbone"] = None  # type: ignore[assignment]
        net = torchvision.models.get_model(
            name, weights=None, **({"weights_backbone": None} if name.startswith("ssd") else few)
        )
    for part in net.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.momentum = 1.0
    if not name.startswith("ssd"):
        net.train()
        with torch.no_grad():
            net(torch.randn(8, *shape))
    if package == "torchvision" and ("deeplab" in name or "lraspp" in name):
        net = First(net, ("out",))
    return net, (torch.zeros(1, *shape),)


def main(package: str, name: str, out: str) -> None:
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    net, example = transformers_net(name) if package == "transformers" else vision_net(package, name)
    with torch.no_grad():
        for part in net.modules():  # norms as a trained network has them: not all one
            if isinstance(part, torch.nn.LayerNorm) and part.weight is not None:
                part.weight.uniform_(0.7, 1.3)
                if part.bias is not None:
                    part.bias.uniform_(-0.2, 0.2)
            if isinstance(part, torch.nn.Linear) and not part.weight.any():  # heads that start from nothing
                part.weight.normal_(0, part.in_features**-0.5)
            if package == "transformers" and isinstance(part, torch.nn.Conv1d | torch.nn.ConvTranspose1d) and "Gan" in name:
                # Its own start of 0.01 gives silence, below the step of any 8-bit output.
                torch.nn.init.kaiming_uniform_(part.weight)
        for key, value in net.named_parameters():  # class and position tokens start at next to nothing
            if "token" in key or "pos_embed" in key or "position_embeddings" in key:
                value.normal_(0, 0.5)
    net.eval()
    if name in LEGACY:
        torch.onnx.export(net, example, out, dynamo=False, opset_version=LEGACY[name], do_constant_folding=True)
        return
    program = torch.onnx.export(net, example, dynamo=True, verbose=False)
    assert program is not None
    program.save(out, external_data=False)


if __name__ == "__main__":
    main(*sys.argv[1:4])
