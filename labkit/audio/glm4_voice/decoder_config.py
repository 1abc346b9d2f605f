"""The decoder's `config.yaml`, read as data.

The released file is a recipe in HyperPyYAML: its tags say which Python objects to construct and which functions to
call on loading. Nothing of that happens here. Tags are read as plain mappings with the name they carry; names that no
released decoder has are refused, and so is every other tag, wherever in the file it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from labkit.audio.glm4_voice.conformer import ConformerConfig
from labkit.audio.glm4_voice.flow import FRAMES, HOP, REGULATOR_CONVOLUTIONS, SAMPLE_RATE, TOKENS, FlowConfig
from labkit.audio.glm4_voice.hift import HiFTConfig
from labkit.audio.glm4_voice.unet import UNetConfig
from labkit.checkpoints import CheckpointError

CONFIG = "config.yaml"
LARGEST = 2**20  # bytes; the released file has 4,447
KNOWN_PACKAGE = "cosyvoice."
KNOWN_NAMES = (
    "omegaconf.DictConfig",
    "random.seed",
    "numpy.random.seed",
    "torch.manual_seed",
    "torch.cuda.manual_seed_all",
)
NAMES = {  # what each part must be, or it would be another network
    "flow": "cosyvoice.flow.flow.MaskedDiffWithXvec",
    "flow.encoder": "cosyvoice.transformer.encoder.BlockConformerEncoder",
    "flow.length_regulator": "cosyvoice.flow.length_regulator.InterpolateRegulator",
    "flow.decoder": "cosyvoice.flow.flow_matching.ConditionalCFM",
    "flow.decoder.cfm_params": "omegaconf.DictConfig",
    "flow.decoder.estimator": "cosyvoice.flow.decoder.ConditionalDecoder",
    "hift": "cosyvoice.hifigan.generator.HiFTGenerator",
    "hift.f0_predictor": "cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor",
}
FIXED = {  # what every released decoder has, and this one therefore takes for granted
    "flow.output_type": "mel",
    "flow.input_frame_rate": SAMPLE_RATE / HOP * TOKENS / FRAMES,
    "flow.encoder.normalize_before": True,
    "flow.encoder.input_layer": "linear",
    "flow.encoder.pos_enc_layer_type": "rel_pos_espnet",
    "flow.encoder.selfattention_layer_type": "block_rel_selfattn",
    "flow.encoder.use_cnn_module": False,
    "flow.encoder.macaron_style": False,
    "flow.length_regulator.sampling_ratios": [1] * REGULATOR_CONVOLUTIONS,
    "flow.decoder.cfm_params.content.solver": "euler",
    "flow.decoder.cfm_params.content.t_scheduler": "cosine",
    "flow.decoder.estimator.act_fn": "gelu",
    "hift.sampling_rate": SAMPLE_RATE,
}


class _Tagged(dict):
    """A mapping that the file calls by a name, which is data as well."""

    name = ""


class _Reference(str):
    """The name of another value of the file."""


class _Reader(yaml.SafeLoader):
    """YAML's plain types, and the three tags of the released file as data."""


def _named(reader: _Reader, name: str, node: yaml.Node) -> object:
    if name not in KNOWN_NAMES and not name.startswith(KNOWN_PACKAGE):
        raise CheckpointError(
            f"it names {name}, which no released decoder does; nothing was imported or called"
        )
    if not isinstance(node, yaml.MappingNode):
        return None  # arguments of a call that is not made
    tagged = _Tagged(reader.construct_mapping(node, deep=True))
    tagged.name = name
    return tagged


_Reader.add_multi_constructor("!new:", _named)
_Reader.add_multi_constructor("!name:", _named)
_Reader.add_multi_constructor("!apply:", _named)
_Reader.add_constructor("!ref", lambda reader, node: _Reference(reader.construct_scalar(node)))


def read_decoder_config(path: Path) -> tuple[FlowConfig, HiFTConfig]:
    """The shapes of flow and vocoder.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is not YAML, has a tag or a name in it that no released decoder has, or describes another
            network.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}; is this a decoder?")
    if path.stat().st_size > LARGEST:
        raise CheckpointError(f"{path} has {path.stat().st_size} bytes, which is no decoder's configuration")
    try:
        # A subclass of SafeLoader: only plain types, and the tags above, which construct nothing.
        read = yaml.load(path.read_text(encoding="utf-8"), Loader=_Reader)
        values = Values(read)
        values.check()
        return values.flow(), values.hift()
    except CheckpointError as error:
        raise CheckpointError(f"{path} was refused: {error}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        problem = getattr(error, "problem", None) or error
        raise CheckpointError(f"{path} was refused, nothing of it was run: {problem}") from error


class Values:
    """Typed values of a configuration by their dotted place, such as `flow.encoder.num_blocks`.

    Args:
        read: `flow` and `hift`, nested as in the released file.

    Raises:
        CheckpointError: it holds no mapping. The methods raise it where a value is missing or of the wrong type.
    """

    def __init__(self, read: object) -> None:
        if not isinstance(read, Mapping):
            raise CheckpointError("it holds no mapping")
        self._read = read

    def check(self) -> None:
        """Refuse networks other than the released ones."""
        for place, name in NAMES.items():
            found = self._at(place)
            if not isinstance(found, _Tagged) or found.name != name:
                raise CheckpointError(
                    f"{place} is {getattr(found, 'name', None) or found!r}, expected {name}"
                )
        for place, wanted in FIXED.items():
            if (found := self._at(place)) != wanted:
                raise CheckpointError(f"{place} is {found!r}, every released decoder has {wanted!r}")

    def flow(self) -> FlowConfig:
        """The flow's shape."""
        whole, bins = self._whole, self._whole("flow.output_size")
        encoder = ConformerConfig(
            inputs=whole("flow.encoder.input_size"),
            width=whole("flow.encoder.output_size"),
            heads=whole("flow.encoder.attention_heads"),
            feed_forward=whole("flow.encoder.linear_units"),
            layers=whole("flow.encoder.num_blocks"),
            block=whole("flow.encoder.block_size"),
        )
        estimator = UNetConfig(
            inputs=whole("flow.decoder.estimator.in_channels"),
            outputs=whole("flow.decoder.estimator.out_channels"),
            channels=self._wholes("flow.decoder.estimator.channels"),
            head_dim=whole("flow.decoder.estimator.attention_head_dim"),
            heads=whole("flow.decoder.estimator.num_heads"),
            blocks=whole("flow.decoder.estimator.n_blocks"),
            mid_blocks=whole("flow.decoder.estimator.num_mid_blocks"),
        )
        if estimator.inputs != 4 * bins or len(estimator.channels) != 2:
            raise CheckpointError(
                f"the estimator takes {estimator.inputs} channels on {len(estimator.channels)} levels; expected "
                f"{4 * bins} (frames, mu, speaker and condition) on 2"
            )
        return FlowConfig(
            codes=whole("flow.vocab_size"),
            width=whole("flow.input_size"),
            mel_bins=bins,
            speaker=whole("flow.spk_embed_dim"),
            guidance=self._number("flow.decoder.cfm_params.content.inference_cfg_rate"),
            encoder=encoder,
            estimator=estimator,
        )

    def hift(self) -> HiFTConfig:
        """The vocoder's shape."""
        whole, number, wholes = self._whole, self._number, self._wholes
        config = HiFTConfig(
            mel_bins=whole("hift.in_channels"),
            channels=whole("hift.base_channels"),
            harmonics=whole("hift.nb_harmonics"),
            sample_rate=whole("hift.sampling_rate"),
            sine=number("hift.nsf_alpha"),
            noise=number("hift.nsf_sigma"),
            voiced_above=number("hift.nsf_voiced_threshold"),
            rates=wholes("hift.upsample_rates"),
            kernels=wholes("hift.upsample_kernel_sizes"),
            window=whole("hift.istft_params.n_fft"),
            hop=whole("hift.istft_params.hop_len"),
            resblock_kernels=wholes("hift.resblock_kernel_sizes"),
            resblock_dilations=self._rows("hift.resblock_dilation_sizes"),
            source_kernels=wholes("hift.source_resblock_kernel_sizes"),
            source_dilations=self._rows("hift.source_resblock_dilation_sizes"),
            slope=number("hift.lrelu_slope"),
            limit=number("hift.audio_limit"),
            pitch_channels=whole("hift.f0_predictor.cond_channels"),
        )
        if config.samples_per_frame != HOP:
            raise CheckpointError(f"hift makes {config.samples_per_frame} samples of a frame, expected {HOP}")
        return config

    def _at(self, place: str) -> object:
        value: object = self._read
        for part in place.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise CheckpointError(f"it lacks {place}")
            value = value[part]
        if isinstance(value, _Reference):
            name = value.strip().removeprefix("<").removesuffix(">")
            if name not in self._read or isinstance(self._read[name], _Reference):
                raise CheckpointError(f"{place} refers to {value}, which the file does not hold")
            return self._read[name]
        return value

    def _whole(self, place: str) -> int:
        value = self._at(place)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(f"{place} is {value!r}, expected a whole number of at least 1")
        return value

    def _number(self, place: str) -> float:
        value = self._at(place)
        try:
            # YAML 1.1 reads 1e-06 as text, for want of a dot.
            if isinstance(value, bool):
                raise ValueError
            return float(value)
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{place} is {value!r}, expected a number") from error

    def _wholes(self, place: str, value: object = None) -> tuple[int, ...]:
        value = self._at(place) if value is None else value
        if not isinstance(value, list) or not all(type(each) is int and each > 0 for each in value):
            raise CheckpointError(f"{place} is {value!r}, expected whole numbers")
        return tuple(value)

    def _rows(self, place: str) -> tuple[tuple[int, ...], ...]:
        value = self._at(place)
        if not isinstance(value, list):
            raise CheckpointError(f"{place} is {value!r}, expected lists of whole numbers")
        return tuple(self._wholes(place, row) for row in value)


def write_decoder_config(path: Path, flow: FlowConfig, hift: HiFTConfig) -> None:
    """Write `config.yaml` in the released form, with its tags."""
    encoder, estimator = flow.encoder, flow.estimator
    path.write_text(
        f"""\
__set_seed1: !apply:random.seed [1986]
__set_seed2: !apply:torch.manual_seed [1986]
sample_rate: {hift.sample_rate}
spk_embed_dim: {flow.speaker}

flow: !new:{NAMES["flow"]}
    input_size: {flow.width}
    output_size: {flow.mel_bins}
    spk_embed_dim: !ref <spk_embed_dim>
    output_type: 'mel'
    vocab_size: {flow.codes}
    input_frame_rate: 12.5
    only_mask_loss: True
    encoder: !new:{NAMES["flow.encoder"]}
        input_size: {encoder.inputs}
        output_size: {encoder.width}
        attention_heads: {encoder.heads}
        linear_units: {encoder.feed_forward}
        num_blocks: {encoder.layers}
        normalize_before: True
        input_layer: 'linear'
        pos_enc_layer_type: 'rel_pos_espnet'
        selfattention_layer_type: 'block_rel_selfattn'
        block_size: {encoder.block}
        use_cnn_module: False
        macaron_style: False
    length_regulator: !new:{NAMES["flow.length_regulator"]}
        channels: {flow.mel_bins}
        sampling_ratios: [1, 1, 1, 1]
    decoder: !new:{NAMES["flow.decoder"]}
        in_channels: {3 * flow.mel_bins}
        n_spks: 1
        spk_emb_dim: {flow.mel_bins}
        cfm_params: !new:{NAMES["flow.decoder.cfm_params"]}
            content:
                sigma_min: 1e-06
                solver: 'euler'
                t_scheduler: 'cosine'
                training_cfg_rate: 0.2
                inference_cfg_rate: {flow.guidance}
                reg_loss_type: 'l1'
        estimator: !new:{NAMES["flow.decoder.estimator"]}
            in_channels: {estimator.inputs}
            out_channels: {estimator.outputs}
            channels: {list(estimator.channels)}
            dropout: 0
            attention_head_dim: {estimator.head_dim}
            n_blocks: {estimator.blocks}
            num_mid_blocks: {estimator.mid_blocks}
            num_heads: {estimator.heads}
            act_fn: 'gelu'

hift: !new:{NAMES["hift"]}
    in_channels: {hift.mel_bins}
    base_channels: {hift.channels}
    nb_harmonics: {hift.harmonics}
    sampling_rate: !ref <sample_rate>
    nsf_alpha: {hift.sine}
    nsf_sigma: {hift.noise}
    nsf_voiced_threshold: {hift.voiced_above}
    upsample_rates: {list(hift.rates)}
    upsample_kernel_sizes: {list(hift.kernels)}
    istft_params:
        n_fft: {hift.window}
        hop_len: {hift.hop}
    resblock_kernel_sizes: {list(hift.resblock_kernels)}
    resblock_dilation_sizes: {[list(row) for row in hift.resblock_dilations]}
    source_resblock_kernel_sizes: {list(hift.source_kernels)}
    source_resblock_dilation_sizes: {[list(row) for row in hift.source_dilations]}
    lrelu_slope: {hift.slope}
    audio_limit: {hift.limit}
    f0_predictor: !new:{NAMES["hift.f0_predictor"]}
        num_class: 1
        in_channels: {hift.mel_bins}
        cond_channels: {hift.pitch_channels}
""",
        encoding="utf-8",
    )
