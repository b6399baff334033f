"""EnCodec (`EncodecModel` of the transformers library) between waveforms and ids."""

from typing import Any

from models.tokenizers.codec import Codec, quantizer_settings
from models.tokenizers.encodec_config import EnCodecConfig


class EnCodec(Codec):
    """The parts of an `EncodecModel`, under the names they have there."""

    def __init__(self, config: EnCodecConfig) -> None:
        super().__init__()
        from transformers import EncodecConfig, EncodecModel  # seconds of imports: not before there is such a model

        self.config: EnCodecConfig = config
        model: Any = EncodecModel(
            EncodecConfig(
                **quantizer_settings(config),
                num_filters=config.filters,
                num_residual_layers=config.residual_layers,
                upsampling_ratios=list(config.ratios),
                kernel_size=config.kernel_size,
                last_kernel_size=config.last_kernel_size,
                residual_kernel_size=config.residual_kernel_size,
                dilation_growth_rate=config.dilation_base,
                use_causal_conv=config.causal,
                pad_mode=config.pad_mode,
                compress=config.compress,
                num_lstm_layers=config.lstm_layers,
                use_conv_shortcut=config.shortcut,
            )
        )
        self.encoder = model.encoder
        self.quantizer = model.quantizer
        self.decoder = model.decoder
