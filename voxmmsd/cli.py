"""The command line: verbs, options generated from their configurations, and one clear line per error.

Nothing heavy is imported, so that ``--help`` is fast; each verb imports what it needs when it runs.
Exit codes: 0 success, 2 bad input or usage, 3 an implausible result, 1 internal error (``doctor``: a fault was
found; ``runs``: the run failed or did not respond), 130 canceled.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import traceback
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import voxmmsd
from voxmmsd import verbs
from voxmmsd.config import flag_of, former_names, read_record, with_field_names
from voxmmsd.errors import Canceled, as_printed
from voxmmsd.failures import Fault, failure_of
from voxmmsd.runs.parent_watch import exit_with_parent
from voxmmsd.standby import STANDBY, read_request
from voxmmsd.terminal import leave_stdout, safe_streams

_UNDER_TORCHRUN = "TORCHELASTIC_RUN_ID"

# OpenBLAS starts a thread for each core when NumPy is imported, and again for SciPy. They spin while they wait, which
# costs more than our small matrices gain. The engines that compute networks have threads of their own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def entry_point() -> None:
    """The ``voxmmsd`` command."""
    exit_with_parent()
    if os.environ.pop(STANDBY, ""):
        arguments = read_request()
        sys.exit(0 if arguments is None else main(arguments))
    sys.exit(main())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    with safe_streams():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments:
        _parser().print_help(sys.stderr)
        return 2
    called = verbs.find(arguments[0])
    parser = _parser((called,) if called else ())
    given = vars(parser.parse_args(_with_action_first(arguments, called)))
    verb, group = given.pop("verb", None), given.pop("group", None)
    debug, detach, file = given.pop("debug"), given.pop("detach", False), given.pop("config_file", None)
    try:
        if group is not None:
            verb, given, file = *_action(group, verb, given, file), None
        config: Any = verb.configured(given, Path(file) if file else None)
        if detach and verb.run_folder:
            return _detached(arguments, verb.run_folder(config))
        return verb.run(config) or 0
    except (Canceled, KeyboardInterrupt) as reason:
        print(f"voxmmsd: {str(reason) or 'canceled'}", file=sys.stderr)
        # torchrun takes any other code for a fault and would start the run that was asked to stop again.
        return 0 if _UNDER_TORCHRUN in os.environ else 130
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        leave_stdout()
        return 0
    except Exception as error:
        failure = failure_of(error)
        return _failed(1 if isinstance(failure, Fault) else 2, failure.problem, failure.remedy, debug)


def _with_action_first(arguments: list[str], group: verbs.Verb | verbs.VerbGroup | None) -> list[str]:
    """``library --count 1 next FOLDER`` with the action before its options, as argparse needs it."""
    if not isinstance(group, verbs.VerbGroup) or len(arguments) < 2 or not arguments[1].startswith("-"):
        return arguments
    names = {verb.name for verb in group.actions}
    place = next((place for place, word in enumerate(arguments) if place and word in names), None)
    if place is None:
        return arguments
    return [arguments[0], arguments[place], *arguments[1:place], *arguments[place + 1 :]]


def _action(
    group: verbs.VerbGroup, verb: verbs.Verb | None, given: dict[str, Any], file: str | None
) -> tuple[verbs.Verb, dict[str, Any]]:
    """The action of a call, which a file of options may name instead, and the options of both."""
    record = read_record(Path(file)) if file else {}
    named = str(record.pop("action", group.actions[0].name))
    verb = verb or group.action(named)
    return verb, {**with_field_names(verb.config, record), **given}


def _detached(arguments: Sequence[str], folder: Path) -> int:
    from voxmmsd.runs.launch import start_detached

    pid = start_detached([argument for argument in arguments if argument != "--detach"], folder)
    at_work = f"process {pid} is at work; follow it with: voxmmsd runs watch {folder}"
    print(f"{folder}: {at_work if pid else 'nothing was left to do; see log.txt'}")
    return 0


def _failed(code: int, problem: str, remedy: str, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(as_printed(problem, remedy), file=sys.stderr, flush=True)
    if _UNDER_TORCHRUN in os.environ:
        os._exit(code)  # at once: an orderly end would wait for the other processes, who wait for this one
    return code


def _parser(known: Sequence[verbs.Verb | verbs.VerbGroup] = ()) -> argparse.ArgumentParser:
    """Of these verbs, by default of all."""
    parser = argparse.ArgumentParser(
        prog="voxmmsd",
        description=(voxmmsd.__doc__ or "").splitlines()[0],
        epilog="`voxmmsd VERB --help` lists the options of a verb. `voxmmsd doctor` checks this installation.",
    )
    parser.add_argument("--version", action="version", version=f"voxmmsd {voxmmsd.__version__}")
    subparsers = parser.add_subparsers(metavar="VERB", required=True)
    parser.set_defaults(debug=False)
    for verb in known or verbs.VERBS:
        _add_verb(subparsers, verb)
    return parser


def _add_verb(subparsers: Any, verb: verbs.Verb | verbs.VerbGroup) -> None:
    sub = subparsers.add_parser(verb.name, help=verb.help, description=verb.help, argument_default=argparse.SUPPRESS)
    sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
    sub.add_argument("--config", dest="config_file", metavar="FILE", help="JSON or TOML file with options")
    sub.set_defaults(**{"group" if isinstance(verb, verbs.VerbGroup) else "verb": verb})
    if isinstance(verb, verbs.VerbGroup):
        actions = sub.add_subparsers(metavar="ACTION", title=f"actions (default: {verb.actions[0].name})")
        for action in verb.actions:
            _add_verb(actions, action)
        return
    if verb.run_folder:
        sub.add_argument("--detach", action="store_true", help="start it in the background and return")
    hints = typing.get_type_hints(verb.config)
    former = {new: old for old, new in former_names(verb.config).items()}
    for item in dataclasses.fields(verb.config):
        _add_option(sub, item, hints[item.name], former.get(item.name, ""))


def _add_option(parser: argparse.ArgumentParser, item: dataclasses.Field, hint: Any, former: str) -> None:
    """An option, and unseen its ``former`` name."""
    details: dict[str, Any] = {"help": _help(item), "choices": item.metadata["choices"] or None}
    several = typing.get_origin(hint) is tuple
    if hint is bool:
        details = {"help": _help(item), "action": argparse.BooleanOptionalAction if item.default else "store_true"}
    else:
        details["type"] = typing.get_args(hint)[0] if several else hint
    if item.metadata["positional"]:
        # A file given with --config may name it instead. argparse (3.11) checks even an absent one against choices.
        choices = details.pop("choices")
        metavar = f"{{{','.join(choices)}}}" if choices else item.name.upper()
        parser.add_argument(item.name, nargs="*" if several else "?", metavar=metavar, **details)
        return
    if several:
        details["nargs"] = "+"
    if hint is not bool:
        details["metavar"] = None if item.metadata["choices"] else flag_of(item).upper()
    parser.add_argument(f"--{flag_of(item)}", dest=item.name, **details)
    if former:
        parser.add_argument(f"--{former.replace('_', '-')}", dest=item.name, **{**details, "help": argparse.SUPPRESS})


def _help(item: dataclasses.Field) -> str:
    """Help of a field, with its default if that is informative."""
    text = str(item.metadata["help"])
    default = item.default
    if default in ("", (), False, None) or "default" in text or item.metadata["positional"]:
        return text
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
    return f"{text} (default: {shown})"
