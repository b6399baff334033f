"""All numbers of a codec, and of a generator of loops."""

from typing import Any

import torch
from torch import Tensor

from models.tokenizers.codec import Codec
from models.tokenizers.codecs import codec_family
from training.data.loops import RATE
from training.data.sounds import SoundSet
from training.evaluate.classifier import Classifier
from training.evaluate.frechet import frechet_distance
from training.evaluate.listener import instrument_labels, listen, said_tempo, tempo_agrees, tempo_of
from training.objectives.spectra import mel_distance, si_sdr

PART = 8


def waves_of(data: SoundSet) -> Tensor:
    """float32 [N, 1, S]."""
    rows = torch.arange(len(data))
    return data.crops(rows, torch.zeros_like(rows), data.waves.shape[1])


@torch.no_grad()
def rebuilt(codec: Codec, waves: Tensor) -> tuple[Tensor, Tensor]:
    """What the codec makes of waves [N, 1, S], and the ids [N, K, T]."""
    made, ids = [], []
    for part in waves.split(PART):
        found = codec.encode(part)
        ids.append(found)
        made.append(codec.decode(found)[..., : waves.shape[-1]])
    return torch.cat(made), torch.cat(ids)


def codec_scores(codec: Codec, data: SoundSet, others: SoundSet, listener: Classifier) -> dict[str, Any]:
    """Of `data`, which the codec was not trained on: percent, dB, and the distance of its training.

    FAD-cls is against `others`, as many real sounds; what `data` itself has is the floor of anything of that number.
    """
    real, labels = waves_of(data), instrument_labels(data.captions)
    made, ids = rebuilt(codec, real)
    (ours, heard), (own, heard_real) = listen(listener, made), listen(listener, real)
    theirs, _ = listen(listener, waves_of(others))
    return {
        "count": len(data),
        "family": codec_family(codec.config),
        "si_sdr_db": float(si_sdr(made[:, 0], real[:, 0]).median()),
        "mel_distance": float(mel_distance(made, real, RATE)),
        "instrument_real": percent(heard_real == labels),
        "instrument_resynthesised": percent(heard == labels),
        "fad_cls_floor": frechet_distance(own, theirs),
        "fad_cls_resynthesised": frechet_distance(ours, theirs),
        "codes_used": [usage(ids[:, book], codec.config.codebook_size) for book in range(ids.shape[1])],
        "perplexity": [perplexity(ids[:, book], codec.config.codebook_size) for book in range(ids.shape[1])],
        "tempo_real": percent(tempi_agree(real, data.captions)),
        "tempo_resynthesised": percent(tempi_agree(made, data.captions)),
    }


def sample_scores(made: Tensor, captions: tuple[str, ...], real: Tensor, listener: Classifier) -> dict[str, Any]:
    """Of samples [N, 1, S] for `captions`, against as many real sounds, which are not those of the captions."""
    labels = instrument_labels(captions)
    (ours, heard), (theirs, _) = listen(listener, made), listen(listener, real)
    return {
        "count": len(made),
        "fad_cls": frechet_distance(ours, theirs),
        "instrument": percent(heard == labels),
        "tempo": percent(tempi_agree(made, captions)),
    }


def tempi_agree(waves: Tensor, captions: tuple[str, ...]) -> Tensor:
    said = map(said_tempo, captions)
    return torch.tensor([tempo_agrees(tempo_of(wave), tempo) for wave, tempo in zip(waves, said, strict=True)])


def usage(ids: Tensor, codes: int) -> float:
    """Percent of the codes that occur."""
    return 100.0 * len(ids.unique()) / codes


def perplexity(ids: Tensor, codes: int) -> float:
    shares = torch.bincount(ids.flatten(), minlength=codes) / ids.numel()
    return float(torch.special.entr(shares).sum().exp())


def percent(right: Tensor) -> float:
    return 100.0 * float(right.double().mean())
