"""Start of every script: its entry point, or one sentence where Python cannot load what it needs.

This file is read by whatever Python a user happens to have, so it uses nothing of ours.
"""

import importlib
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NEEDED = (3, 10)
MISTAKE = 2
INTERRUPTED = 130
#: bytes that may be mapped: with fewer, libraries end Python without a word of ours, or OpenBLAS
#: asks for memory for ever while it is loaded
LEAST_MEMORY = 2**31
#: characters of a library's own message that are shown
SHOWN = 200


def start(name: str) -> None:
    """Call ``main`` of ``hydra_peft.cli.<name>`` and exit with the code that it returns."""
    if sys.version_info[:2] < NEEDED:
        _end(f"this is Python {sys.version.split()[0]}, and 3.10 or newer is needed: {_set_up()}.")
    allowed = _address_space()
    if allowed is not None:
        # OpenBLAS takes memory for each thread when it is loaded, and ends Python if it gets none.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        if allowed < LEAST_MEMORY:
            least = f"{LEAST_MEMORY // 2**20} MiB are needed, and some GiB where torch is"
            _end(f"{_limited(allowed)}: raise that limit ({least}).")
    try:
        os.getcwd()
    except OSError:
        _end("the folder that you are in is not there any more: change to another one (cd).")
    try:
        code = importlib.import_module(f"hydra_peft.cli.{name}").main()
    except (ImportError, MemoryError, OSError, SystemError) as error:
        if not _is_of_the_environment(error):
            raise
        _end(_sentence(error))
    except KeyboardInterrupt:  # before, or after, main minds it itself
        _end("interrupted; what was complete before is kept.", INTERRUPTED)
    sys.exit(code)


def _is_of_the_environment(error: BaseException) -> bool:
    """Whether ``error`` came while a module was imported that is not ours."""
    if isinstance(error, ImportError):
        return error.name == "hydra_peft" or not (error.name or "").startswith("hydra_peft.")
    files = []
    trace = error.__traceback__
    while trace is not None:
        files.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    return any(file.startswith("<frozen importlib") for file in files)


def _sentence(error: BaseException) -> str:
    missing: BaseException | None = error
    while missing is not None and not isinstance(missing, ModuleNotFoundError):
        missing = missing.__cause__  # pandas says in words of its own that numpy is missing
    if isinstance(missing, ModuleNotFoundError):
        package = (missing.name or "?").partition(".")[0]
        return f"this Python ({sys.executable}) has no package '{package}': {_set_up()}."
    said = " ".join(str(error).split())[:SHOWN] or type(error).__name__
    allowed = _address_space()
    if allowed is not None:
        advice = f"{_limited(allowed)}: raise that limit"
    else:
        advice = f"free memory, or if there is enough, install it anew: {_set_up()}"
    return f"this Python ({sys.executable}) cannot load what is needed ({said}): {advice}."


def _set_up() -> str:
    environment = os.path.join(ROOT, ".venv")
    activate = os.path.join(environment, "bin", "activate")
    made = f"'make install' in {ROOT}"
    if os.path.realpath(sys.prefix) == os.path.realpath(environment):
        return f"type {made} again"
    if os.path.isfile(activate):
        return f"type 'source {activate}' first, the environment that {made} sets up"
    return f"type {made} once, then 'source {activate}'"


def _limited(allowed: int) -> str:
    return f"only {allowed // 2**20} MiB of memory are allowed (ulimit -v)"


def _address_space() -> "int | None":
    """Return how many bytes this process may have mapped; None where nothing limits it."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _end(sentence: str, code: int = MISTAKE) -> None:
    sys.stderr.write(f"error: {sentence}\n")
    sys.stderr.flush()
    if _address_space() is not None:
        os._exit(code)  # what libraries do at exit would fail as well, and say so
    sys.exit(code)
