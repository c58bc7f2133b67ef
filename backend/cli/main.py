"""The command line: `understudy up` and its processes, one by one; and the orders to a running understudy.

Only what a command needs is imported, inside it, so that `--help` and `status` answer at once.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from backend.cli.accept import accept
from backend.cli.admin import ADMIN_COMMANDS, QUEUE_COMMANDS, audit
from backend.cli.backup import BACKUP_COMMANDS
from backend.cli.doctor import doctor
from backend.cli.encoder.change import encoder
from backend.cli.explain import EXPLAIN_COMMANDS
from backend.cli.export.dataset import DATASET_COMMANDS
from backend.cli.export.import_model import IMPORT_COMMANDS
from backend.cli.export.model import EXPORT_COMMANDS
from backend.cli.label_errors import SUSPECT_COMMANDS
from backend.cli.notify.notify import notify
from backend.cli.pool.pool import pool
from backend.cli.predict import PREDICT_COMMANDS
from backend.cli.simulate.simulate import simulate
from backend.cli.spans import SPAN_COMMANDS
from backend.cli.teacher.teach import teach
from backend.cpu import bound_shape_caches
from backend.errors import BackendError
from backend.redaction import hide_secrets
from backend.screen import never_fail, plain_error, say, say_lines
from backend.settings.home_path import HomePath
from backend.settings.settings import Settings, current_settings, load_settings
from model.errors import ModelError
from model.failpoints import arm

Command = TypeVar("Command", bound=Callable[..., object])


class Commands(click.Group):
    """Shows every error as one line without secrets, never as a traceback, and what people wrote as it is."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        never_fail()
        with _shown_as_written():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> object:
        with _shown_as_written():
            return super().invoke(ctx)


@contextmanager
def _shown_as_written() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:  # what is wrong on the command line, and how to use it
        message = plain_error(error.format_message())
        if message == error.format_message():
            raise
        raise click.UsageError(message, error.ctx) from None
    except click.ClickException as error:
        raise _one_line(error.format_message()) from None
    except (BackendError, ModelError) as error:
        raise _one_line(error.message) from None
    except (click.Abort, click.exceptions.Exit, BrokenPipeError):
        raise
    except Exception as error:
        raise _one_line(_describe_unexpected(error)) from None


def _one_line(message: str) -> click.ClickException:
    return click.ClickException(plain_error(hide_secrets(message)))


def _describe_unexpected(error: Exception) -> str:
    """One line; where it comes from goes to the log, when there is one, or before the line when that is asked for."""
    from traceback import format_exception

    if logging.getLogger().handlers:
        logging.getLogger(__name__).critical("unexpected", exc_info=error)
    elif _is_verbose():
        say(hide_secrets("".join(format_exception(error))), err=True, keep="\n")
    return f"unexpected {type(error).__name__}: {error} (LOG_LEVEL=DEBUG shows where)"


def _is_verbose() -> bool:
    try:
        return current_settings().log_level == "DEBUG"
    except BackendError:
        return False


def serving_options(command: Command) -> Command:
    """--host, --port and --data-dir, which go before HOST, PORT and DATA_DIR."""

    @click.option("--host", help="Address to listen on (HOST).")
    @click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on (PORT).")
    @click.option("--data-dir", type=HomePath(file_okay=False), help="Where everything is kept (DATA_DIR).")
    @wraps(command)
    def with_settings(host: str | None, port: int | None, data_dir: Path | None, **others: object) -> object:
        given = {"host": host, "port": port, "data_dir": data_dir}
        return command(load_settings(**{name: value for name, value in given.items() if value is not None}), **others)

    return cast("Command", with_settings)


def child(command: Command) -> Command:
    """Marks a process that `up` runs: gives it the settings, and lets it die with the supervisor when it has one."""

    @click.option("--supervised", type=int, hidden=True, help="Process id of the supervisor to die with.")
    @wraps(command)
    def with_settings(supervised: int | None, **others: object) -> object:
        if supervised is not None:
            from backend.supervision.parent_death import die_with

            # Redis gets the chance to say goodbye; the others are safe to kill and must not hold the port.
            die_with(supervised, signal.SIGTERM if command.__name__ == "redis" else signal.SIGKILL)
        from backend.supervision.process_limits import prepare_process

        arm(current_settings().failpoint)
        bound_shape_caches(Settings.environ())
        prepare_process(current_settings().data_dir)
        return command(current_settings(), **others)

    return cast("Command", with_settings)


burst_option = click.option("--burst", is_flag=True, help="Do one job, if one waits, and end: for a worker a job.")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="understudy", prog_name="understudy")
def main() -> None:
    """A Label Studio ML backend that learns while people label."""


@main.command()
@serving_options
def up(settings: Settings) -> None:
    """Run everything on this machine until Ctrl-C; starts a Redis of its own when REDIS_URL is unset."""
    from backend.processes.up import run_up

    run_up(settings)


@main.command()
@serving_options
def demo(settings: Settings) -> None:
    """Run everything, with a Label Studio of its own and two ready projects: messages to classify, names to mark."""
    from backend.processes.demo import run_demo

    run_demo(settings)


@main.command()
@child
def web(settings: Settings) -> None:
    """Run the HTTP process: Label Studio's endpoints, the admin API and /metrics."""
    from backend.processes.web import run_web

    run_web(settings)


@main.command()
@burst_option
@child
def learner(settings: Settings, burst: bool) -> None:
    """Run the worker that refits the heads."""
    from backend.processes.worker import run_learner

    run_learner(settings, burst)


@main.command()
@burst_option
@child
def trainer(settings: Settings, burst: bool) -> None:
    """Run the worker that fine-tunes the encoder."""
    from backend.processes.worker import run_trainer

    run_trainer(settings, burst)


@main.command()
@burst_option
@child
def sync(settings: Settings, burst: bool) -> None:
    """Run the worker that talks to Label Studio's API."""
    from backend.processes.worker import run_sync

    run_sync(settings, burst)


@main.command()
@burst_option
@child
def predictor(settings: Settings, burst: bool) -> None:
    """Run a worker that predicts files: one a core, on as many machines as there are."""
    from backend.processes.worker import run_predictor

    run_predictor(settings, burst)


@main.command()
@child
def scheduler(settings: Settings) -> None:
    """Run the loop that asks what is due."""
    from backend.processes.scheduler import run_scheduler

    run_scheduler(settings)


@main.command(hidden=True)
@child
def redis(settings: Settings) -> None:
    """Run the embedded Redis."""
    from backend.embedded_redis.server import run_redis

    run_redis(settings)


@main.command(hidden=True)
@click.option("--demo", "is_demo", is_flag=True)
@child
def console(settings: Settings, is_demo: bool) -> None:
    """Tell the user of `up` what is going on."""
    from backend.processes.console import run_console

    if not is_demo:  # it lives as long as the product, and needs little of it
        return run_console(settings)
    from backend.processes.demo import prepare_projects

    run_console(settings, lambda: prepare_projects(settings))


@main.command(hidden=True)
@click.argument(
    "process", type=click.Choice(["web", "learner", "trainer", "sync", "predictor", "scheduler"]), default="web"
)
def healthcheck(process: str) -> None:
    """Exit with 0 when this machine's web process answers, or its worker shows signs of life (for containers)."""
    from backend.doctor.liveness import find_silence

    if silence := find_silence(current_settings(), process):
        raise click.ClickException(silence)


@main.command()
@click.option("--project", type=click.IntRange(1), required=True, help="Id of the project in Label Studio.")
@click.option("--title", help="Name of the backend in Label Studio (default: the present one, or understudy).")
@click.option("--sampling/--no-sampling", default=True, help="Set the project to Uncertainty sampling.")
def connect(project: int, title: str | None, sampling: bool) -> None:
    """Connect a Label Studio project to this backend, or bring its connection up to date."""
    from backend.connection.connect import run_connect

    say_lines(run_connect(current_settings(), project, title=title, sampling=sampling))


@main.command()
@click.option("--project", type=click.IntRange(1), required=True, help="Id of the project in Label Studio.")
@click.option("--predictions", is_flag=True, help="Delete the predictions of this backend, too.")
def disconnect(project: int, predictions: bool) -> None:
    """Take out of a Label Studio project what `connect` and the queue put into it. Labels stay."""
    from backend.connection.disconnect import run_disconnect

    say_lines(run_disconnect(current_settings(), project, predictions=predictions))


for command in (
    *ADMIN_COMMANDS,
    *BACKUP_COMMANDS,
    *DATASET_COMMANDS,
    *EXPORT_COMMANDS,
    *IMPORT_COMMANDS,
    *EXPLAIN_COMMANDS,
    *PREDICT_COMMANDS,
    *QUEUE_COMMANDS,
    *SUSPECT_COMMANDS,
    *SPAN_COMMANDS,
    accept,
    simulate,
    doctor,
    notify,
    pool,
    teach,
    encoder,
    audit,
):
    main.add_command(command)
