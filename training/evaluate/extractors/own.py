"""`cls`: the classifier of the very classes that are generated."""

from torch import Tensor

from training.evaluate.classifier import Classifier, judge


class OwnClassifier:
    """Penultimate features [N, 128], and logits, which no other extractor has."""

    name = "cls"
    says = "128 penultimate features of our own small classifier of these classes"

    def __init__(self, network: Classifier) -> None:
        self.network = network

    def features(self, images: Tensor) -> Tensor:
        return self.judge(images)[0]

    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [N, C, H, W] -> (features float64 [N, 128], logits [N, classes])."""
        return judge(self.network, images)
