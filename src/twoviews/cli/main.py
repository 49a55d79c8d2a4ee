"""`twoviews VERB …`: finds the verb, turns every error into one message and an exit code.

2: what the user can mend before a run; 1: what broke in it; 130, 143: stopped by a signal, with a checkpoint.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version

from cyclopts import App, CycloptsError, UnknownOptionError

from ..base.console import command, plain, speak_any_text
from ..base.errors import TwoviewsError, nearest
from ..base.names import path_of
from . import (
    bench,
    compare,
    demo,
    detect,
    distill,
    doctor,
    duplicates,
    embed,
    export,
    finetune,
    from_tf,
    knn,
    linear,
    paper,
    plan,
    report,
    runs,
    search,
    select,
    serve,
    shard,
    train,
    transfer,
    views,
)

app = App(
    name="twoviews",
    version=version("twoviews"),
    help_format="plaintext",  # markdown's renderer alone takes a tenth of a second to load
    help="SimCLR: unlabelled pictures in, a measured image encoder out. --debug with any verb says how its images were understood, and where an error came from.",
)
for verb in (
    train,
    plan,
    knn,
    linear,
    finetune,
    transfer,
    detect,
    distill,
    compare,
    embed,
    search,
    duplicates,
    select,
    shard,
    report,
    runs,
    serve,
    export,
    from_tf,
    paper,
    views,
    doctor,
    bench,
    demo,
):
    app.command(verb.command, name=verb.__name__.rpartition(".")[2].replace("_", "-"))
app.register_install_completion_command(help="Let the shell complete verbs and options: bash, zsh, fish, powershell")


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; returns its exit code."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    speak_any_text()
    debug = "--debug" in tokens
    tokens = [_named(token) for token in tokens if token != "--debug"]
    try:
        with command(debug):
            app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _refuse(_words(error), 2)
    except TwoviewsError as error:
        if debug:
            raise
        return _refuse(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _refuse("interrupted", 130)
    except BrokenPipeError:
        return 0
    except Exception as error:
        if debug:
            raise
        if isinstance(error, RuntimeError):
            from ..sources.loader import reader_lost

            if found := reader_lost(error):
                return _refuse(str(found), found.exit_code)
        return _refuse(f"unexpected {type(error).__name__}: {error}\nThis is a fault of twoviews; --debug shows where", 1)
    return 0


def _named(token: str) -> str:
    """An argument, with the file that it names by escapes, as our own output does, in place of these."""
    option, equals, value = token.partition("=") if token.startswith("--") else ("", "", token)
    return f"{option}{equals}{path_of(value)}"


def _words(error: CycloptsError) -> str:
    """One line: what is wrong, and the nearest valid name."""
    verbs = [name for name in app if not name.startswith("-")]
    if isinstance(error, UnknownOptionError) and error.token is not None:
        keyword = error.token.keyword or error.token.value
        names = [name for argument in (error.argument_collection or []) for name in argument.names]
        return f"unknown option {keyword}.{nearest(keyword, names)} twoviews {' '.join(error.command_chain or [])} --help lists them all"
    text = str(error).strip().replace("\n", " ")
    if error.unused_tokens and not error.command_chain:
        return f"unknown verb {error.unused_tokens[0]!r}.{nearest(error.unused_tokens[0], verbs)} Valid: {', '.join(verbs)}"
    return text


def _refuse(message: str, code: int) -> int:
    """Print a message. Of several processes the first speaks; another only where something broke that the first may not know of."""
    rank = os.environ.get("RANK", "0")
    if message and (rank == "0" or code == 1):
        print(f"twoviews{'' if rank == '0' else f' (process {rank})'}: {plain(message)}", file=sys.stderr, flush=True)
    return code


def run() -> None:
    """The console script."""
    sys.exit(main())
