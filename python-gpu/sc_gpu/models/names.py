"""Which models there are, by name."""

from sc_gpu.errors import UnknownModelError


def check_model_name(name: str) -> str:
    """The name, if faster-whisper knows it or it is a hub repository (`owner/name`); never a path."""
    from faster_whisper.utils import available_models

    owner, slash, repository = name.partition("/")
    is_repository = bool(slash) and all(_is_plain(part) for part in (owner, repository))
    if name in available_models() or is_repository:
        return name
    raise UnknownModelError(f"No model is called {name!r}. Known: {', '.join(available_models())}")


def is_english_only(name: str) -> bool:
    """The same rule as `isEnglishOnly` in `packages/shared/src/transcription.ts`."""
    return name.endswith(".en") or name.startswith("distil-")


def _is_plain(part: str) -> bool:
    return part not in ("", ".", "..") and all(c.isalnum() or c in "._-" for c in part)
