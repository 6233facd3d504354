"""`gpt2-assist daemon`: start, stop, restart, status and logs of the process behind all front ends."""
import argparse
import json
import os
import signal
import sys
import time

from gpt2_assist.errors import DaemonError
from gpt2_assist.frontend.help import SUMMARIES, Help
from gpt2_assist.ipc import transport
from gpt2_assist.ipc.client import Client
from gpt2_assist.ipc.connecting import NoAnswer
from gpt2_assist.ipc.conversation import ServerError

STOP_TIMEOUT_S = 15.0
_ACTIONS = {
    "start": "start the daemon, which every front end also does by itself",
    "stop": "end the daemon and its workers",
    "restart": "end the daemon and start a fresh one",
    "status": "say what runs; exit code 1 where no daemon does",
    "logs": "print the end of the daemon's log",
}


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the family to the program's parser."""
    daemon = _command(subparsers, "daemon", SUMMARIES["daemon"], "gpt2-assist daemon status")
    actions = daemon.add_subparsers(metavar="ACTION", required=True)
    for name, summary in _ACTIONS.items():
        action = _command(actions, name, summary, f"gpt2-assist daemon {name}")
        action.set_defaults(run=globals()[f"_{name}"])
        if name == "logs":
            action.add_argument("-f", "--follow", action="store_true", help="go on printing what is added")
            action.add_argument("-n", "--lines", type=int, default=50, metavar="N", help="lines to begin with")
        else:
            action.add_argument("--json", action="store_true", help="print JSON for programs")


def _command(subparsers: argparse._SubParsersAction, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    return subparsers.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".",
                                 epilog=f"example:\n  {example}",
                                 formatter_class=Help)


def _start(args: argparse.Namespace) -> int:
    with Client.connect("cli") as client:
        status = client.status()
    _say(args, status, f"The daemon runs as process {status['pid']}.")
    return 0


def _stop(args: argparse.Namespace) -> int:
    stopped = _end_daemon()
    _say(args, {"stopped": stopped}, "The daemon has ended." if stopped else "No daemon was running.")
    return 0


def _restart(args: argparse.Namespace) -> int:
    _end_daemon()
    return _start(args)


def _end_daemon() -> bool:
    """Ends it by request, or by a signal where it speaks another protocol or not at all. False where none ran."""
    end, how = time.monotonic() + STOP_TIMEOUT_S, None
    while how is None:
        try:
            with Client.connect("cli", start=False) as client:
                client.shutdown()
            return True
        except ServerError:
            how = signal.SIGTERM
        except NoAnswer:
            how = getattr(signal, "SIGKILL", signal.SIGTERM)  # its workers end with their pipes
        except DaemonError:
            if transport.lock_holder() is None:
                return False
            if time.monotonic() > end:
                raise
            time.sleep(0.02)  # it is about to listen, or to end
    pid = transport.lock_holder()
    if pid:
        os.kill(pid, how)
    end = time.monotonic() + STOP_TIMEOUT_S
    while transport.lock_holder() is not None:
        if time.monotonic() > end:
            raise DaemonError(f"The daemon, process {pid}, does not end; kill it.")
        time.sleep(0.02)
    return True


def _status(args: argparse.Namespace) -> int:
    connection = transport.connect()
    if connection is None:
        _say(args, {"running": False}, "No daemon is running.")
        return 1
    connection[0].close()
    with Client.connect("cli", start=False) as client:
        status = client.status()
    lines = [f"The daemon, version {status['version']}, runs as process {status['pid']} for "
             f"{_duration(status['uptime_s'])}; clients: {status['clients']}, requests waiting: {status['queued']}."]
    lines += [f"  {worker['model']}: {worker['state']}, {worker['precision']} on {worker['device']}, "
              f"{worker['memory_bytes'] / 1e6:.0f} MB, {worker['cached_tokens']} tokens cached "
              f"({worker['cache_hit_rate']:.0%} of prompts came from the cache), process {worker['pid']}"
              + (f"; adapters: {', '.join(worker['adapters'])}" if worker["adapters"] else "")
              for worker in status["workers"]]
    _say(args, status, "\n".join(lines))
    return 0


def _logs(args: argparse.Namespace) -> int:
    path = transport.log_path()
    try:
        log = open(path, encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise DaemonError(f"There is no log yet: {path} does not exist.") from None
    except OSError as error:
        raise DaemonError(f"The log {path} can't be read: {error.strerror}.") from None
    lines = log.readlines()
    sys.stdout.writelines(lines[len(lines) - min(max(args.lines, 0), len(lines)):])
    while args.follow:
        sys.stdout.flush()
        line = log.readline()
        if line:
            sys.stdout.write(line)
        elif path.exists() and path.stat().st_ino != os.fstat(log.fileno()).st_ino:  # the log has been rotated
            log.close()
            log = open(path, encoding="utf-8", errors="replace")
        else:
            time.sleep(0.2)
    log.close()
    return 0


def _say(args: argparse.Namespace, data: dict, sentence: str) -> None:
    print(json.dumps(data) if args.json else sentence)


def _duration(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
