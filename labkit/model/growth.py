"""Growing a model between the training stages (paper section 3.3.2)."""

import copy

import torch

from labkit.model.few_rows import use_few_rows
from labkit.model.mctp import MCTPModule, chain_config
from labkit.model.speech_lm import SpeechLM

PROJECTION_STD = 0.02


@torch.no_grad()
def grow_chain(model: SpeechLM, num_modules: int, generator: torch.Generator | None = None) -> SpeechLM:
    """Lengthen the chain, in place, by the rules of stages 2 and 3.

    The first module takes its decoder layer from the backbone's last one, a random projection N(0, 0.02) and
    norms of ones (stage 1 -> 2). Every further module copies the one before it whole (stage 2 -> 3).

    Args:
        model: to grow.
        num_modules: modules it should have.
        generator: for the first module's projection; needed only if there is no module yet.

    Raises:
        ValueError: the chain is longer already, or the first module lacks its generator.
    """
    if num_modules < model.num_modules:
        raise ValueError(f"the chain has {model.num_modules} modules already; it can only grow")
    while model.num_modules < num_modules:
        module = _copy_last(model) if model.num_modules else _first_module(model, generator)
        use_few_rows(module)
        model.chain.append(module)
    return model


def _first_module(model: SpeechLM, generator: torch.Generator | None) -> MCTPModule:
    if generator is None:
        raise ValueError("the first module's projection is random: give a torch.Generator with a seed")
    module = MCTPModule(model.config, 0).to(model.device, model.dtype)
    module.layer.load_state_dict(model.layers[-1].state_dict())
    shape = module.projection.weight.shape
    drawn = torch.empty(shape, device=generator.device).normal_(0.0, PROJECTION_STD, generator=generator)
    module.projection.weight.copy_(drawn)
    return module.train(model.training)


def _copy_last(model: SpeechLM) -> MCTPModule:
    """A copy of the last module, numbered one further."""
    with torch.device("meta"):
        module = MCTPModule(model.config, model.num_modules)
    state = copy.deepcopy(model.chain[-1].state_dict())
    module.load_state_dict(state, assign=True)
    return module.requires_grad_(True).train(model.training)


@torch.no_grad()
def grow_backbone(model: SpeechLM, layers: int) -> SpeechLM:
    """A deeper model that computes the same: copies of the last layer on top, whose outputs begin as zeros.

    The copies look where the last layer looks, and learn what to bring from there (block expansion, Wu et al., 2024,
    arXiv:2401.02415).

    Args:
        model: to copy; without modules, whose layers are numbered after the backbone's.
        layers: to add.

    Raises:
        ValueError: the model has modules, or there is nothing to add.
    """
    if model.num_modules:
        raise ValueError(
            f"the backbone cannot grow under a chain of {model.num_modules} modules; grow it first"
        )
    if layers < 1:
        raise ValueError(f"layers to add must be at least 1, got {layers}")
    deeper = SpeechLM.from_config(
        chain_config(model.config, layers),
        generator=torch.Generator(),
        attention=model.attention,
        dtype=model.dtype,
        device=model.device,
    )
    deeper.load_state_dict(model.state_dict(), strict=False)
    for layer in deeper.layers[-layers:]:
        layer.load_state_dict(model.layers[-1].state_dict())
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    return deeper.train(model.training)


@torch.no_grad()
def grow_vocabulary(model: SpeechLM, vocab_size: int, used_rows: int | None = None) -> SpeechLM:
    """Give embedding and head rows for new tokens, in place; each starts as the mean of the old rows.

    Args:
        model: to grow.
        vocab_size: rows it should have.
        used_rows: rows that hold real tokens; those behind them are padding and count as new. All unless
            given. (Qwen2.5 pads its 151665 tokens to 151936 or 152064 rows.)

    Raises:
        ValueError: ``vocab_size`` is smaller than the rows in use.
    """
    old = model.config.vocab_size
    used = old if used_rows is None else used_rows
    if not 0 < used <= min(old, vocab_size):
        raise ValueError(f"{used} rows in use of {old} cannot grow to {vocab_size}")
    embedding, head = model.backbone.model.embed_tokens, model.backbone.lm_head
    embedding.weight = _longer(embedding.weight, used, vocab_size)
    embedding.num_embeddings = head.out_features = vocab_size
    tied = model.config.tie_word_embeddings
    head.weight = embedding.weight if tied else _longer(head.weight, used, vocab_size)
    model.config.vocab_size = vocab_size
    return model


@torch.no_grad()
def place_audio_tokens(
    model: SpeechLM, first_row: int, codes: torch.Tensor, generator: torch.Generator
) -> SpeechLM:
    """Start the audio tokens' rows of embedding and head from the codec's codebook, in place.

    Tokens that stand for like sounds then begin alike, and what is learned of one is a beginning for the others. The
    paper does not say where the released model's rows began.

    Args:
        model: whose vocabulary has the audio tokens.
        first_row: id of the first audio token.
        codes: ``(audio tokens, width)`` the codec's vectors. A random projection takes them to the hidden size.
        generator: for the projection.

    Raises:
        ValueError: there are more codes than rows from the first on.
    """
    rows = slice(first_row, first_row + len(codes))
    if rows.stop > model.config.vocab_size:
        raise ValueError(f"{len(codes)} codes from row {first_row} do not fit {model.config.vocab_size} rows")
    drawn = torch.randn(codes.shape[1], model.config.hidden_size, generator=generator)
    placed = (codes.float() - codes.float().mean(0)).cpu() @ drawn
    placed *= model.config.initializer_range / placed.std()
    embedding, head = model.backbone.model.embed_tokens, model.backbone.lm_head
    for weight in {id(each): each for each in (embedding.weight, head.weight)}.values():
        weight[rows] = weight[rows].mean(0) + placed.to(weight)
    return model


def _longer(weight: torch.nn.Parameter, used: int, rows: int) -> torch.nn.Parameter:
    kept = weight[:used]
    new = kept.float().mean(0, keepdim=True).to(weight.dtype).expand(rows - used, -1)
    return torch.nn.Parameter(torch.cat([kept, new]), requires_grad=weight.requires_grad)
