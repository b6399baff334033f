"""All distances between two clouds of features, whatever network made them."""

from dataclasses import asdict, dataclass

from torch import Tensor

from training.evaluate.frechet import Gaussian, frechet_distance
from training.evaluate.kernel import kernel_distance
from training.evaluate.neighbours import manifold_scores

OWN = "cls"  # the extractor whose neighbour scores are stored without its name
TEST = "test images"  # what Fréchet distances are to, where no published statistics take their place


@dataclass(frozen=True)
class Measures:
    """Fréchet distance, kernel distance times 1000, and scores from the five nearest neighbours."""

    fid: float
    kid: float
    precision: float
    recall: float
    density: float
    coverage: float

    def named(self, extractor: str) -> dict[str, float]:
        """By the names they are stored under: `fid_lite0`, `precision_lite0`; of `cls` only distances are marked."""
        kept = () if extractor != OWN else ("precision", "recall", "density", "coverage")
        return {key if key in kept else f"{key}_{extractor}": value for key, value in asdict(self).items()}


def measure(cloud: Tensor, real: Tensor, target: Gaussian | None = None) -> Measures:
    """Features [N, D] against real ones [M, D]; the Fréchet distance to `target` instead where one is given."""
    manifold = manifold_scores(real, cloud)
    fid = frechet_distance(cloud, target or Gaussian.of(real))
    return Measures(fid, 1000 * kernel_distance(cloud, real), **asdict(manifold))
