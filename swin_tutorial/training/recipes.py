"""The recipes that have a name: what ``swin-tutorial train`` can start from (chapters 07, 12)."""

from dataclasses import replace

from swin_tutorial.data.augmentation import Augmentation
from swin_tutorial.model import SwinConfig
from swin_tutorial.presets import PRESETS as MODELS
from swin_tutorial.training.baseline import ResNetConfig
from swin_tutorial.training.config import TrainingConfig
from swin_tutorial.training.conv_swin import ConvSwinConfig

# Small windows give the model what is near, so it need not learn that from few images.  In windows
# this small, attention written out step by step is faster on a CPU than the fused one.
_QUICK_SWIN = SwinConfig(
    embed_dim=32,
    depths=(2, 2, 2),
    num_heads=(2, 4, 8),
    window_sizes=(2, 4, 4),
    patch_size=2,
    drop_path_rate=0.0,
    backend="eager",
    init_std=None,
)

# Few images and little time: small batches make many steps.  Much smaller ones would be mostly
# overhead.
_QUICK = TrainingConfig(
    _QUICK_SWIN,
    Augmentation(flip_prob=0.5),
    epochs=13,
    batch_size=64,
    lr=3e-3,
    evaluate_every=5,
    clip_norm=1.0,
    ema_decay=0.995,
)

# Images padded to 32 pixels make maps of 16, 8 and 4 tokens a side, which windows of 4 divide.  So
# no window holds padding, and four of the ten blocks shift windows that hold several regions.
# bfloat16 pays on CPUs that compute in it (AVX512-BF16, AMX); with others, leave it out.
_FASHION_CPU = TrainingConfig(
    SwinConfig(
        embed_dim=32,
        depths=(2, 6, 2),
        num_heads=(2, 4, 8),
        window_size=4,
        patch_size=2,
        drop_path_rate=0.1,
        backend="eager",
        init_std=None,
    ),
    Augmentation(crop_padding=2, flip_prob=0.5, random_erasing=0.25),
    data="fashion-mnist",
    image_padding=2,
    epochs=30,
    batch_size=64,
    lr=1e-3,
    weight_decay=0.1,
    clip_norm=5.0,
    ema_decay=0.999,
    bf16=True,
    evaluate_every=5,
)

# The same Swin with what helps where images are few: an overlapping stem, and convolutions in the
# MLPs.  An epoch takes nearly twice as long, so there are fewer.
_FASHION_CPU_CONV = replace(
    _FASHION_CPU,
    model=ConvSwinConfig(**vars(_FASHION_CPU.model), conv_stem=True, conv_mlp=True),
    epochs=18,
)

# As "fashion-mnist-cpu", but wider and longer, with stronger augmentation.  Large batches and few
# steps, because a GPU waits for the launch of many small operations; the compiler joins them where
# attention is written out step by step.
_FASHION = TrainingConfig(
    replace(_FASHION_CPU.model, embed_dim=80, num_heads=(5, 10, 20), drop_path_rate=0.2),
    replace(_FASHION_CPU.augmentation, cutmix=1.0, mix_prob=0.5, mix_until=80),
    data="fashion-mnist",
    image_padding=2,
    epochs=100,
    batch_size=1024,
    lr=2e-3,
    warmup_epochs=5.0,
    weight_decay=0.1,
    bf16=True,
    compile=True,
    evaluate_every=5,
    save_every=1000,
    log_every=50,
)

_CIFAR10 = replace(
    _FASHION,
    augmentation=Augmentation(
        crop_padding=4, flip_prob=0.5, random_erasing=0.25, mixup=0.8, cutmix=1.0
    ),
    data="cifar10",
    image_padding=0,
    epochs=200,
)

# The paper's recipe (appendix A2.1).  The paper clips the gradient at 1, the official code at 5, as
# here.  The color jitter of the official configuration has no effect: timm leaves it out where it
# has RandAugment.  Two things differ: what is erased becomes the mean color and not noise, and each
# image has a mixup or cutmix of its own, not each batch.
_IMAGENET = TrainingConfig(
    MODELS["swin_tiny"],
    Augmentation(
        flip_prob=0.5,
        random_erasing=0.25,
        mixup=0.8,
        cutmix=1.0,
        randaugment=9.0,
        crop_scale=(0.08, 1.0),
    ),
    data="imagenet",
    epochs=300,
    batch_size=1024,
    warmup_epochs=20.0,
    ema_decay=0.0,
    bf16=True,
    compile=True,
    save_every=1000,
    log_every=50,
)

PRESETS = {
    "quick": _QUICK,
    "quick-resnet": replace(_QUICK, model=ResNetConfig(32, (1, 1, 1))),
    "fashion-mnist-cpu": _FASHION_CPU,
    "fashion-mnist-cpu-resnet": replace(_FASHION_CPU, model=ResNetConfig(32, (1, 1, 1))),
    "fashion-mnist-cpu-conv": _FASHION_CPU_CONV,
    "fashion-mnist-cpu-distilled": replace(
        _FASHION_CPU_CONV, teacher="fashion-mnist-cpu-resnet-seed0"
    ),
    "fashion-mnist": _FASHION,
    "fashion-mnist-resnet": replace(_FASHION, model=ResNetConfig(64, (2, 2, 2))),
    "cifar10": _CIFAR10,
    "imagenet": _IMAGENET,
}
DESCRIPTIONS = {
    "quick": "A small Swin on the bundled images: 5 minutes on 2 CPU cores.",
    "quick-resnet": "A small ResNet on the bundled images, for as many epochs.",
    "fashion-mnist-cpu": "A small Swin on all of Fashion-MNIST: about an hour on 2 CPU cores.",
    "fashion-mnist-cpu-resnet": "A small ResNet on all of Fashion-MNIST, for as many epochs.",
    "fashion-mnist-cpu-conv": "A small Swin with convolutions, on all of Fashion-MNIST.",
    "fashion-mnist-cpu-distilled": "The same, which learns from the small ResNet too.",
    "fashion-mnist": "A larger Swin on all of Fashion-MNIST, for one GPU (not measured yet).",
    "fashion-mnist-resnet": "A ResNet on all of Fashion-MNIST, for one GPU (not measured yet).",
    "cifar10": "A Swin on CIFAR-10, for one GPU (not tried yet).",
    "imagenet": "The paper's recipe for Swin-T: eight GPUs for days.",
}
