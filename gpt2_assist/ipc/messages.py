"""The messages between clients, supervisor and workers, and every limit of what may be sent."""
from dataclasses import dataclass, field
from typing import Any, ClassVar

from gpt2_assist.errors import UsageError

PROTOCOL_VERSION = 6
MAX_FRAME_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 16
MAX_REQUESTS_PER_CLIENT = 256
MAX_CLIENTS = 256
MAX_OUTPUT_BYTES = 4 * 1024 * 1024
"""A client that leaves so much unread is disconnected."""
MAX_SAMPLES = 64
MAX_NEW_TOKENS = 1_000_000
MAX_STOP_STRINGS = 32
MAX_STOP_CHARACTERS = 1024
MAX_BANNED_PHRASES = 10_000
MAX_BANNED_CHARACTERS = 100
MAX_PIECES = 64
MAX_NOTE_DEPTH = 1000
MAX_TEMPERATURES = 64
PRIORITIES = ("keystroke", "session", "bulk")
SAMPLERS = ("penalties", "dry", "top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "xtc", "temperature")
"""What changes the chances of the next token, in llama.cpp's order."""
_SAMPLER_LIMITS = {
    "typical_p": (0.0, 1.0), "top_n_sigma": (0.0, 100.0), "xtc_probability": (0.0, 1.0), "xtc_threshold": (0.0, 1.0),
    "dry_multiplier": (0.0, 100.0), "dry_base": (1.0, 10.0), "dry_allowed_length": (1, 100),
    "dynatemp_range": (0.0, 100.0), "dynatemp_exponent": (0.0, 100.0), "mirostat_tau": (0.0, 100.0),
    "mirostat_eta": (0.0, 10.0)}


@dataclass(frozen=True)
class Generation:
    """What to generate: every setting of a request, with the defaults that all front ends share."""

    max_new_tokens: int = 128
    temperature: float = 0.8
    """0 is greedy."""
    top_k: int = 40
    """0 is off."""
    top_p: float = 1.0
    """1 is off."""
    min_p: float = 0.0
    """0 is off: tokens less likely than min_p times the likeliest are dropped."""
    repetition_penalty: float = 1.0
    """1 is off; as in CTRL (Keskar et al. 2019), on tokens of the prompt and the text so far."""
    logit_bias: list = field(default_factory=list)
    """Pairs [token id, bias]."""
    stop: list = field(default_factory=list)
    """Strings that end a sample; they are not part of its text."""
    banned: list = field(default_factory=list)
    """Phrases that new text never holds, in whatever case: where one comes, the sample goes back to where it begins."""
    stop_tokens: list = field(default_factory=list)
    """Token ids that end a sample, besides the model's own end of text."""
    seed: int | None = None
    """None: the daemon draws one and reports it."""
    n: int = 1
    """Samples."""
    first_index: int = 0
    """The place of the first sample in a longer series: sample i draws the randomness of index first_index + i, so a
    series is the same however it is cut into requests."""
    logprobs: int | None = None
    """None is off; k gives the chosen tokens' log-probabilities and those of the k likeliest."""
    echo: bool = False
    """Whether each sample's text begins with the prompt."""
    begins: bool = True
    """Whether the prompt is the beginning of a text, before which the model's card may put something; an editor's is a
    piece of one."""
    heal: bool = True
    """Whether a prompt that ends inside a word goes on as if the word had been whole: the tokens of its end are taken
    back, and the first new ones spell it again. Those are no new tokens: they are not counted and not shown."""

    finish_within: int = 0
    """Past max_new_tokens a sample goes on by so many tokens at most, until a sentence or a paragraph ends."""

    max_copied: int | None = None
    """New tokens in a row, at most, that stand so in the texts that the model was fine-tuned on; None is off."""

    typical_p: float = 1.0
    """1 is off: of the tokens that surprise about as much as is to be expected, those are left that hold this share."""
    top_n_sigma: float = 0.0
    """0 is off: tokens whose score is lower than the best by more than so many standard deviations are dropped."""
    xtc_probability: float = 0.0
    """0 is off: with this probability the likeliest tokens are dropped, the least likely of them stays."""
    xtc_threshold: float = 0.1
    """From which probability on a token is one of these. Above 0.5 there is never more than one."""
    dry_multiplier: float = 0.0
    """0 is off: what would go on with a repetition of dry_allowed_length tokens loses so much of its score, and more by
    the factor dry_base for each token beyond these."""
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_breakers: list = field(default_factory=lambda: ["\n", ":", '"', "*"])
    """Texts over which no repetition reaches: that of a token that holds one."""
    dynatemp_range: float = 0.0
    """0 is off: temperature is up to so much lower where the model is sure, and higher where it isn't."""
    dynatemp_exponent: float = 1.0
    """Of what stands for how unsure it is, from 0 to 1."""
    temperatures: list = field(default_factory=list)
    """In place of temperature, if there are any: new tokens take them in turn."""
    mirostat_tau: float = 0.0
    """0 is off: mirostat 2 in place of all that drops tokens: the text surprises by so many bits a token."""
    mirostat_eta: float = 0.1
    """How quickly it learns from what came."""
    samplers: list = field(default_factory=lambda: list(SAMPLERS))
    """Which of SAMPLERS count, one after the other."""

    def validate(self) -> None:
        """Raises UsageError with a sentence that names the setting."""
        if self.max_copied is not None:
            _within("max_copied", self.max_copied, 1, MAX_NEW_TOKENS)
        _within("max_new_tokens", self.max_new_tokens, 0, MAX_NEW_TOKENS)
        _within("finish_within", self.finish_within, 0, MAX_NEW_TOKENS)
        _within("temperature", self.temperature, 0.0, 100.0)
        _within("top_k", self.top_k, 0, 1 << 31)
        _within("top_p", self.top_p, 0.0, 1.0)
        _within("min_p", self.min_p, 0.0, 1.0)
        if not 0.01 <= self.repetition_penalty <= 100:
            raise UsageError(f"repetition_penalty must be between 0.01 and 100, not {self.repetition_penalty}.")
        _within("n", self.n, 1, MAX_SAMPLES)
        _within("first_index", self.first_index, 0, (1 << 31) - 1)
        for name, (low, high) in _SAMPLER_LIMITS.items():
            _within(name, getattr(self, name), low, high)
        for temperature in self.temperatures:
            _within("a temperature", temperature, 0.0, 100.0)
        for name, values, most in (("temperatures", self.temperatures, MAX_TEMPERATURES),
                                   ("texts in dry_breakers", self.dry_breakers, MAX_STOP_STRINGS)):
            if len(values) > most:
                raise UsageError(f"There are {len(values)} {name}; at most {most} are allowed.")
        for name in self.samplers:
            if name not in SAMPLERS:
                raise UsageError(f"There is no sampler {str(name)[:20]!r}; there are {', '.join(SAMPLERS)}.")
            if self.samplers.count(name) > 1:
                raise UsageError(f"The sampler {name} is named twice.")
        if self.seed is not None:
            _within("seed", self.seed, 0, (1 << 63) - 1)
        if self.logprobs is not None:
            _within("logprobs", self.logprobs, 0, 20)
        if len(self.stop) > MAX_STOP_STRINGS:
            raise UsageError(f"There are {len(self.stop)} stop strings; at most {MAX_STOP_STRINGS} are allowed.")
        for kind, texts in (("stop string", self.stop), ("text of dry_breakers", self.dry_breakers)):
            for text in texts:
                if not isinstance(text, str) or not 0 < len(text) <= MAX_STOP_CHARACTERS:
                    raise UsageError(f"A {kind} must have 1 to {MAX_STOP_CHARACTERS} characters.")
        if len(self.banned) > MAX_BANNED_PHRASES:
            raise UsageError(f"There are {len(self.banned):,} banned phrases; at most {MAX_BANNED_PHRASES:,} are "
                             "allowed.")
        for text in self.banned:
            if not isinstance(text, str) or not 0 < len(text) <= MAX_BANNED_CHARACTERS:
                raise UsageError(f"A banned phrase must have 1 to {MAX_BANNED_CHARACTERS} characters.")
        for token in self.stop_tokens:
            _within("a stop token", token, 0, (1 << 31) - 1)
        for pair in self.logit_bias:
            if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                raise UsageError("logit_bias must hold pairs of a token id and a number.")
            _within("a token of logit_bias", pair[0], 0, (1 << 31) - 1)
            _within("a bias of logit_bias", pair[1], -1e4, 1e4)


def _within(name: str, value: Any, low: float, high: float) -> None:
    whole = isinstance(low, int)
    right = isinstance(value, int) if whole else isinstance(value, (int, float))
    if not right or isinstance(value, bool) or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"{name} must be {kind} between {low:g} and {high:g}, not {value}.")


# From a client.

@dataclass(frozen=True)
class Hello:
    """The first message of every client."""
    protocol: int
    version: str
    client: str
    token: str = ""
    """Compulsory over TCP, empty over a Unix socket."""


@dataclass(frozen=True)
class Generate:
    """Starts a generation. `id` is the client's own number for it, in use until Finished or Failure."""
    id: int
    model: str
    prompt: str
    settings: Generation
    priority: str = "session"
    document: str = ""
    """If set, an earlier unfinished request of this client with the same document is cancelled."""
    precision: str = "auto"
    device: str = "auto"
    memory: str = ""
    """Read before the prompt, whatever of that no longer fits the model's window."""
    note: str = ""
    """Read within the prompt, before the paragraph that stands `note_depth` paragraphs before the last. With memory or
    note the window doesn't move: where it is full, the sample ends."""
    note_depth: int = 3
    suffix: str | None = None
    """What follows behind the new text, which is to fit in between; None: nothing is known of it. The entries below
    count only with it."""
    path: str = ""
    """Of the file in which both stand."""
    repository: str = ""
    """The name of what that file belongs to."""
    beside: list = field(default_factory=list)
    """Pairs [path, text] of other files, or pieces of them; what changes least should come first."""

    def validate(self) -> None:
        """Raises UsageError with a sentence that names what is wrong."""
        self.settings.validate()
        if self.priority not in PRIORITIES:
            raise UsageError(f"There is no priority {self.priority[:20]!r}; say {', '.join(PRIORITIES)}.")
        _within("note_depth", self.note_depth, 0, MAX_NOTE_DEPTH)
        if (self.memory or self.note) and self.suffix is not None:
            raise UsageError("Memory and note belong to text that is gone on with, not to what is filled in.")
        if len(self.beside) > MAX_PIECES:
            raise UsageError(f"There are {len(self.beside)} pieces of other files; at most {MAX_PIECES} are allowed.")
        for piece in self.beside:
            if not isinstance(piece, (list, tuple)) or len(piece) != 2 or not all(isinstance(text, str)
                                                                                  for text in piece):
                raise UsageError("beside must hold pairs of a path and a text.")


@dataclass(frozen=True)
class Cancel:
    id: int


@dataclass(frozen=True)
class Load:
    """Makes a model ready; answered by Loaded or Failure."""
    id: int
    model: str
    precision: str = "auto"
    device: str = "auto"


@dataclass(frozen=True)
class StatusRequest:
    id: int


@dataclass(frozen=True)
class Shutdown:
    id: int


# To a client.

@dataclass(frozen=True)
class Welcome:
    protocol: int
    version: str
    pid: int
    home: bytes
    """The path of the home folder whose models, runs and settings the daemon knows."""


@dataclass(frozen=True)
class Failure:
    """A request failed; id 0 concerns the connection, which is then closed."""
    id: int
    sentence: str
    exit_code: int


@dataclass(frozen=True)
class Chunk:
    """More text of one sample, always whole characters and never part of a stop string."""
    id: int
    index: int
    text: str
    tokens: list
    """The token ids decoded since the last chunk, those included that only spell the prompt's end again; a restarted
    worker continues from them."""
    logprobs: list
    """One [token text, log-probability, [[token text, log-probability], …]] per new token when asked for, else empty.
    Where a prompt's end was healed, the first token's text begins with the end of the prompt."""


@dataclass(frozen=True)
class SampleDone:
    id: int
    index: int
    finish_reason: str
    """stop, length or cancelled."""
    tokens: int
    """New tokens decoded, a stop token or a stop string's tokens included, those that only spell the prompt's end
    again left out."""


@dataclass(frozen=True)
class Finished:
    """The last message of a generation."""
    id: int
    model: str
    seed: int
    prompt_tokens: int
    """Without those that healing took back."""
    cached_tokens: int
    """Prompt tokens whose keys and values were in the cache."""
    context: int
    """Tokens in the context at the end, of the first sample."""
    n_ctx: int
    seen: int
    """Characters at the prompt's end that the model saw when it began."""
    seconds: float
    """From the worker's acceptance to the last token."""


@dataclass(frozen=True)
class Loading:
    """A model is being loaded for the request; sent again, with `words`, where a part of that takes long."""
    id: int
    model: str
    words: str = ""
    """What is being done."""


@dataclass(frozen=True)
class Loaded:
    id: int
    model: str
    n_ctx: int
    parameters: int
    device: str
    precision: str


@dataclass(frozen=True)
class StatusReply:
    id: int
    status: dict


@dataclass(frozen=True)
class Goodbye:
    """The daemon is going; answers Shutdown."""
    id: int


# Between supervisor and worker (besides Generate, Cancel, Chunk, SampleDone, Finished, Failure, Loaded).

@dataclass(frozen=True)
class Resume:
    """Generate again after a crash: `tokens` per sample were already delivered and are not delivered again."""
    request: Generate
    tokens: list
    done: list
    """Indices of samples that were already done."""


@dataclass(frozen=True)
class Adapted:
    """From now on, what is asked of `model` is asked of the worker's model with the adapter of `folder` beside it."""
    model: str
    folder: str
    strength: float
    stamp: int
    """Differs where another adapter has come to lie in the same folder."""


@dataclass(frozen=True)
class Ping:
    """The supervisor asks whether the worker lives."""


@dataclass(frozen=True)
class Pong:
    """It does."""
    steps: int
    """Changes as long as the worker gets on with what it has to do, once it has loaded."""


@dataclass(frozen=True)
class WorkerState:
    """Sent by a worker after every change, so that the supervisor can answer `status` by itself."""
    state: str
    """loading, idle or generating."""
    memory_bytes: int
    """The process's own and what it holds of an NVIDIA card's."""
    cached_tokens: int
    cache_hit_rate: float
    computed_tokens: int = 0
    """Prompt tokens that were run and tokens that were decoded, since the worker began."""
    words: str = ""
    """What part of loading is being done, where it takes long."""
    adapters: list = field(default_factory=list)
    """Names of the models that are the worker's with an adapter."""


@dataclass(frozen=True)
class Message:
    """The table of all messages by the name on the wire."""
    KINDS: ClassVar[dict[str, type]] = {kind.__name__: kind for kind in (
        Hello, Generate, Cancel, Load, StatusRequest, Shutdown, Welcome, Failure, Chunk, SampleDone, Finished,
        Loading, Loaded, StatusReply, Goodbye, Resume, Adapted, Ping, Pong, WorkerState)}
    PARTS: ClassVar[dict[type, None]] = {Generation: None, Generate: None}
