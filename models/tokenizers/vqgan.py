"""VQGAN: images <-> a grid of codebook ids.

The tokenizer of MaskGIT (arXiv 2202.04200), shared by MAGE, AutoNAT and ReCAP: a convolutional
encoder and decoder without attention. Module names give the keys of the public PyTorch weights
(`vqgan_jax_strongaug.ckpt`). Images are [B, C, H, W] in [0, 1] on both sides.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from models.tokenizers.base import Tokenizer
from models.tokenizers.vqgan_config import VQGANConfig

NORM_EPS = 1e-6


class ResBlock(nn.Module):
    """Two normalised 3x3 convolutions and a shortcut (see `VQGANConfig.shortcut`)."""

    def __init__(self, in_width: int, width: int, config: VQGANConfig) -> None:
        super().__init__()
        self.resize = in_width != width
        self.from_output = config.shortcut == "output"
        self.norm1 = nn.GroupNorm(config.norm_groups, in_width, NORM_EPS)
        self.conv1 = nn.Conv2d(in_width, width, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(config.norm_groups, width, NORM_EPS)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        if self.resize:
            source = width if self.from_output else in_width
            self.nin_shortcut = nn.Conv2d(source, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))  # [B, width, H, W]
        if not self.resize:
            return h + x
        shortcut: Tensor = self.nin_shortcut(h if self.from_output else x)
        return h + shortcut


class Upsample(nn.Module):
    """Nearest-neighbour doubling, then a 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        doubled: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return doubled


class Level(nn.Module):
    """The residual blocks of one resolution; the decoder's upper ones end by doubling it."""

    def __init__(self, in_width: int, width: int, config: VQGANConfig, upsample: bool) -> None:
        super().__init__()
        widths = [in_width] + [width] * config.num_res_blocks
        self.block = nn.ModuleList(ResBlock(a, b, config) for a, b in pairwise(widths))
        self.doubles = upsample
        if upsample:
            self.upsample = Upsample(width)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        return self.upsample(x) if self.doubles else x


class Middle(nn.Module):
    """The residual blocks at the token grid's resolution: block_1, block_2, ..."""

    def __init__(self, width: int, config: VQGANConfig) -> None:
        super().__init__()
        for index in range(1, config.mid_blocks + 1):
            self.add_module(f"block_{index}", ResBlock(width, width, config))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.children():
            x = block(x)
        return x


class Encoder(nn.Module):
    """Images [B, C, H, W] -> features [B, z, H/f, W/f]; average pooling between levels."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.conv_in = nn.Conv2d(config.in_channels * config.patch**2, config.ch, 3, padding=1, bias=False)
        widths = (config.ch, *config.widths)
        self.down = nn.ModuleList(Level(a, b, config, upsample=False) for a, b in pairwise(widths))
        self.mid = Middle(widths[-1], config)
        self.norm_out = nn.GroupNorm(config.norm_groups, widths[-1], NORM_EPS)
        self.conv_out = nn.Conv2d(widths[-1], config.z_channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        h = self.conv_in(F.pixel_unshuffle(images, self.patch))
        for index, level in enumerate(self.down):
            h = level(h if index == 0 else F.avg_pool2d(h, 2))
        features: Tensor = self.conv_out(F.silu(self.norm_out(self.mid(h))))
        return features


class Decoder(nn.Module):
    """Features [B, z, h, w] -> images [B, C, h*f, w*f], not clipped."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        widths = (*config.widths, config.widths[-1])
        self.conv_in = nn.Conv2d(config.z_channels, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1], config)
        self.up = nn.ModuleList(
            Level(widths[index + 1], widths[index], config, upsample=index > 0) for index in range(len(config.widths))
        )
        self.norm_out = nn.GroupNorm(config.norm_groups, widths[0], NORM_EPS)
        self.patch = config.patch
        self.conv_out = nn.Conv2d(widths[0], config.in_channels * config.patch**2, 3, padding=1)

    @property
    def last_layer(self) -> Tensor:
        """The weight whose gradients balance reconstruction against the adversarial loss."""
        return self.conv_out.weight

    def forward(self, features: Tensor) -> Tensor:
        h = self.mid(self.conv_in(features))
        for level in reversed(self.up):
            h = level(h)
        return F.pixel_shuffle(self.conv_out(F.silu(self.norm_out(h))), self.patch)


class Quantizer(nn.Module):
    """The codebook: nearest row by squared distance."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.normalize = config.normalize
        self.embedding = nn.Embedding(config.codebook_size, config.z_channels)
        bound = 1.0 / config.codebook_size
        nn.init.uniform_(self.embedding.weight, -bound, bound)

    def codes(self) -> Tensor:
        """The codebook rows as they are compared and looked up: [K, z]."""
        weight = self.embedding.weight
        return F.normalize(weight, dim=-1) if self.normalize else weight

    def nearest(self, rows: Tensor) -> Tensor:
        """Rows [N, z] -> index of the nearest code [N]; ties go to the lowest index."""
        codes = self.codes()
        # |row|^2 is the same for every code and left out.
        distance = codes.square().sum(1) - 2.0 * rows @ codes.T  # [N, K]
        return distance.argmin(1)


class VQGAN(Tokenizer):
    """Images [B, C, H, W] in [0, 1] <-> ids [B, L] in raster order."""

    config: VQGANConfig

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quantize = Quantizer(config)

    def encode_features(self, images: Tensor) -> Tensor:
        """Images -> features [B, z, h, w] before quantisation (on the sphere if `normalize`)."""
        features: Tensor = self.encoder(images)
        return F.normalize(features, dim=1) if self.config.normalize else features

    def quantize_features(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, z, h, w] -> ids [B, h*w] and their embeddings [B, z, h, w].

        The embeddings pass gradients straight through to `features`; `embed` of the ids gives the
        rows with gradients to the codebook.
        """
        batch, width, rows, columns = features.shape
        flat = features.detach().permute(0, 2, 3, 1).reshape(-1, width)  # [B*L, z]
        ids = self.quantize.nearest(flat).reshape(batch, rows * columns)
        embeddings = self.embed(ids, (rows, columns))
        return ids, features + (embeddings - features).detach()

    def embed(self, ids: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Ids [B, L] -> codebook rows [B, z, h, w] (`grid` defaults to the configured one)."""
        rows = F.embedding(ids, self.quantize.codes())  # [B, L, z]
        return rows.mT.unflatten(2, grid or self.config.grid).contiguous()

    def decode_features(self, features: Tensor) -> Tensor:
        """Embeddings [B, z, h, w] -> images [B, C, H, W], not clipped (for training)."""
        images: Tensor = self.decoder(features)
        return images

    def encode(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] in [0, 1] -> ids [B, h*w], int64, raster order."""
        return self.quantize_features(self.encode_features(images))[0]

    def decode(self, codes: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Ids [B, h*w] -> images [B, C, H, W] clipped to [0, 1]."""
        return self.decode_features(self.embed(codes, grid)).clamp(0.0, 1.0)
