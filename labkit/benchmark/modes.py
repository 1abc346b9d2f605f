"""Speed by mode and size, beside the paper's Table 8, with the token timelines of its Fig. 5."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import torch
from transformers import Qwen2Config

from labkit.benchmark import paper
from labkit.benchmark.contenders import CUT, YARDSTICK, Contender, contenders
from labkit.benchmark.cost import CostModel, fit_steps
from labkit.benchmark.length import attention_seconds
from labkit.benchmark.machine import copy_bandwidth, describe
from labkit.benchmark.timing import Timing, ratios, take_turns
from labkit.benchmark.work import Work, roofline, work
from labkit.generation import Event, FastPath
from labkit.interleave import MODES, VANILLA
from labkit.interleave.rate import speech_rate
from labkit.memory import free_memory
from labkit.model import RELEASED_MODULES, SpeechLM, estimate_memory, size_config
from labkit.vocabulary import Vocabulary, released_vocabulary
from labkit.vocabulary.layout import CHAT_SPECIALS, released_specials

FIT_TOKENS = 64
MOST_FIT_COLUMNS = 16  # passes over a prompt happen once and follow another law: they are bound by arithmetic
OWN_VOCABULARIES = {"toy": (3584, 4096), "small": (4096, 8192)}
"""Text and audio tokens of the lab's own models."""
Report = dict[str, object]


def vocabulary_of(size: str) -> Vocabulary:
    """The id space of a model of a named size: the release's, but small for the lab's own small models."""
    if size not in OWN_VOCABULARIES:
        return released_vocabulary()
    text, audio = OWN_VOCABULARIES[size]
    return Vocabulary.of(text, (*CHAT_SPECIALS, *released_specials()), audio)


@dataclass(frozen=True)
class Setting:
    """How to measure.

    Attributes:
        tokens: to generate.
        prompt_tokens: to prefill; 32 in the paper.
        repeats: rounds that count, after one that does not.
        device: where.
        dtype: of the weights.
        attention: kernel of the model, ``"sdpa"`` or ``"flash_attention_2"``.
        graphs: CUDA graphs; None for wherever they are possible.
        compiled: `torch.compile` for the decoder layer.
        seed: of weights and prompt.
        progress: show bars.
    """

    tokens: int = 66
    prompt_tokens: int = paper.PROMPT_TOKENS
    repeats: int = 5
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    attention: str = "sdpa"
    graphs: bool | None = None
    compiled: bool = False
    seed: int = 0
    progress: bool = True

    def to_dict(self) -> Report:
        """For JSON."""
        return {**asdict(self), "dtype": str(self.dtype).removeprefix("torch.")}


def benchmark_modes(sizes: Sequence[str], setting: Setting) -> Report:
    """Time all modes at each size with random weights; predict the sizes for which there is no room.

    A prediction scales the cost model of the largest size measured by the bytes of the weights, and is marked.
    """
    bandwidth = copy_bandwidth(setting.device)
    report: Report = {
        "machine": describe(setting.device),
        "copy_bandwidth": bandwidth._asdict(),
        "setting": setting.to_dict(),
    }
    rows: dict[str, Report] = {}
    largest: tuple[Qwen2Config, CostModel] | None = None
    for size in sorted(sizes, key=lambda name: estimate_memory(size_config(name)).parameters):
        config = size_config(size, vocabulary_of(size).padded_size)
        if has_room(config, setting):
            rows[size], model = measure_size(size, config, setting, bandwidth.median)
            largest = config, model
        elif largest is None:
            rows[size] = {"skipped": "no room, and no smaller size was measured to predict it from"}
        else:
            rows[size] = predict_size(
                size, config, largest[1].scaled(largest[0], config), setting, bandwidth.median
            )
    return {**report, "sizes": rows}


def has_room(config: Qwen2Config, setting: Setting) -> bool:
    """Whether a model with its chain, its caches and second copies of weights fits into what is free."""
    device = torch.device(setting.device)
    estimate = estimate_memory(
        config, RELEASED_MODULES, setting.dtype, tokens=setting.prompt_tokens + setting.tokens
    )
    twice = device.type == "cpu" and setting.dtype == torch.float32  # see labkit.model.few_rows
    free = free_memory(device)
    return free is None or estimate.total_bytes + twice * estimate.parameter_bytes < 0.95 * free


def random_model(config: Qwen2Config, setting: Setting) -> tuple[FastPath, list[int]]:
    """A model with random weights, made ready, and a random prompt."""
    device = torch.device(setting.device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    # Weights are drawn where they are needed: elsewhere 7B takes a minute.
    generator = torch.Generator(device).manual_seed(setting.seed)
    model = SpeechLM.from_config(
        config,
        RELEASED_MODULES,
        generator=generator,
        attention=setting.attention,
        dtype=setting.dtype,
        device=device,
    )
    drawn = torch.Generator().manual_seed(setting.seed)
    prompt = torch.randint(config.vocab_size, (setting.prompt_tokens,), generator=drawn).tolist()
    capacity = setting.prompt_tokens + setting.tokens
    return FastPath(model, capacity, graphs=setting.graphs, compiled=setting.compiled), prompt


def measure_size(
    size: str, config: Qwen2Config, setting: Setting, bandwidth: float
) -> tuple[Report, CostModel]:
    """Time all modes at one size; fit the cost model to their first tokens and hold it to all of them."""
    fast, prompt = random_model(config, setting)
    vocabulary = vocabulary_of(size)
    runs = contenders(fast, prompt, setting.tokens, vocabulary)
    seconds = take_turns(runs, setting.repeats, progress=setting.progress)
    model = fit_contenders(runs.values(), fast, setting.prompt_tokens, vocabulary)
    rows = {}
    for name, run in runs.items():
        times = Timing.of(seconds[name])
        rows[name] = {
            "seconds": times._asdict(),
            "tokens_per_second": setting.tokens / times.median,
            "speedup": ratios(seconds[YARDSTICK], seconds[name])._asdict(),
            "speedup_over_vanilla": ratios(seconds[VANILLA.name], seconds[name])._asdict(),
        }
        if run.mode is not None:
            own = vocabulary if run.cut else None
            steps = work(run.mode, setting.tokens, setting.prompt_tokens, config.vocab_size, own)
            least = least_seconds(run, config, setting, bandwidth, own)
            rows[name] |= {
                "times_real_time": setting.tokens / times.median / speech_rate(run.mode).tokens,
                "cost_model_seconds": model.predict(steps),
                "roofline_seconds": least,
                "share_of_copy_bandwidth": least / times.median,
                **in_the_paper(size, run),
            }
    return {
        "predicted": False,
        "parameters": estimate_memory(config, RELEASED_MODULES).parameters,
        "bytes": {
            "weights": estimate_memory(config, RELEASED_MODULES, setting.dtype).parameter_bytes,
            "weights_held_twice": fast.weight_bytes,
            "caches": fast.cache_bytes,
        },
        "cost_model": asdict(model),
        "modes": rows,
        "timelines": {name: timeline(run) for name, run in runs.items() if run.mode is not None},
    }, model


def predict_size(
    size: str, config: Qwen2Config, model: CostModel, setting: Setting, bandwidth: float
) -> Report:
    """What a scaled cost model says of a size that nobody has run here."""
    vocabulary = vocabulary_of(size)
    rows = {}
    for mode in MODES.values():
        for is_cut in (False, True):
            run = Contender(mode.name + CUT * is_cut, mode, is_cut, list)
            own = vocabulary if is_cut else None
            steps = work(mode, setting.tokens, setting.prompt_tokens, config.vocab_size, own)
            seconds = model.predict(steps)
            rows[run.name] = {
                "cost_model_seconds": seconds,
                "tokens_per_second": setting.tokens / seconds,
                "roofline_seconds": least_seconds(run, config, setting, bandwidth, own),
                **in_the_paper(size, run),
            }
    return {
        "predicted": True,
        "parameters": estimate_memory(config, RELEASED_MODULES).parameters,
        "cost_model": asdict(model),
        "modes": rows,
    }


def fit_contenders(
    runs: Iterable[Contender], fast: FastPath, prompt_tokens: int, vocabulary: Vocabulary, warm_up: int = 1
) -> CostModel:
    """Fit a cost model to the first `FIT_TOKENS` tokens of each run's quietest call; attention is measured by itself.

    A call in which the machine was busy with something else says nothing about the model. What looking at one token
    more costs is left out where the runs are less than twice as long as what is fitted.

    Args:
        runs: that have been called; the yardstick among them does not count.
        fast: on which they ran.
        prompt_tokens: that they were given.
        vocabulary: of the cut head.
        warm_up: calls that do not count.
    """
    config = fast.model.config
    measured = [
        step
        for run in runs
        if run.mode is not None
        for step in timed_steps(run, run.quietest(warm_up), prompt_tokens, config.vocab_size, vocabulary)
    ]
    least = prompt_tokens + FIT_TOKENS
    more = fast.capacity - least
    # A few tokens more cost less than one pass differs from the next: divided by them, noise passes for attention.
    long_enough = more >= least
    key = max(0.0, attention_seconds(fast, fast.capacity, least) / more) if long_enough else 0.0
    return fit_steps(measured, config.num_hidden_layers, key)


def timed_steps(
    run: Contender, events: Sequence[Event], prompt_tokens: int, vocab_size: int, vocabulary: Vocabulary
) -> list[tuple[Work, float]]:
    """The first steps of a run with their seconds, passes over the prompt left out."""
    ends = [event.seconds for event in events[:FIT_TOKENS]]
    own = vocabulary if run.cut else None
    steps = work(run.mode, len(ends), prompt_tokens, vocab_size, own)
    return [
        (each, end - begin)
        for each, begin, end in zip(steps, [0.0, *ends[:-1]], ends, strict=True)
        if each.columns <= MOST_FIT_COLUMNS
    ]


def least_seconds(
    run: Contender, config: Qwen2Config, setting: Setting, bandwidth: float, vocabulary: Vocabulary | None
) -> float:
    """Seconds at the roofline: bytes that must be read, at the bandwidth of a copy."""
    return roofline(
        run.mode,
        setting.tokens,
        setting.prompt_tokens,
        config,
        setting.dtype.itemsize,
        bandwidth,
        vocabulary,
    )


def in_the_paper(size: str, run: Contender) -> Report:
    """The paper's row, where it has one; its head is never cut."""
    seconds = paper.TABLE_8.get((size, run.mode.name))
    if seconds is None or run.cut:
        return {}
    vanilla = paper.TABLE_8[size, VANILLA.name]
    return {
        "paper": {
            "seconds": seconds,
            "tokens": paper.TOKENS,
            "tokens_per_second": paper.TOKENS / seconds,
            "speedup_over_vanilla": vanilla / seconds,
        }
    }


def timeline(run: Contender, tokens: int = 64) -> list[dict[str, float | int | None]]:
    """The first tokens of the quietest call: when each was there, and who made it (paper Fig. 5)."""
    return [
        {"index": event.index, "module": event.module, "seconds": event.seconds}
        for event in run.quietest()[:tokens]
    ]


def table_8(report: Report) -> str:
    """The measurements as text, the paper's speed-ups beside them."""
    columns = ("seconds", "tok/s", "x plain", "x vanilla", "paper", "model", "of copy")
    lines = [f"{'':24}" + "".join(f"{column:>11}" for column in columns)]
    for size, found in report["sizes"].items():
        note = found.get("skipped") or ("predicted" if found["predicted"] else "")
        lines.append(f"{size} {note}".rstrip())
        for name, row in found.get("modes", {}).items():
            cells = [
                row.get("seconds", {}).get("median"),
                row["tokens_per_second"],
                row.get("speedup", {}).get("median"),
                row.get("speedup_over_vanilla", {}).get("median"),
                row.get("paper", {}).get("speedup_over_vanilla"),
                row.get("cost_model_seconds"),
                row.get("share_of_copy_bandwidth"),
            ]
            shown = ("" if cell is None else f"{cell:.3g}" for cell in cells)
            lines.append(f"  {name:22}" + "".join(f"{cell:>11}" for cell in shown))
    return "\n".join(lines)
