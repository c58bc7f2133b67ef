"""Every setting, once: default, type, allowed range and help. The only file that reads the environment.

Source order: environment, then `.env` in the working directory, then the default. `<NAME>_FILE` reads the
value from a file (container secrets): sources.py. Values are taken as people write them:
values.py. `docs/settings.md` is generated from this table.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import MutableMapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator

from backend.addresses.host import url_of
from backend.redaction import process_redactor
from backend.settings.data_dir import DataDir
from backend.settings.values import check_hook_secrets, check_launcher, check_teacher_model, explain
from model.failpoints import read_failpoint

Strategy = Literal[
    "random",
    "margin",
    "entropy",
    "least_confidence",
    "bald",
    "margin_clusters",
    "typiclust",
    "typical_first",
    "coreset",
    "badge",
]
"""Names in model/acquisition/strategies.py, which is not imported here: every process reads the settings first."""


class Settings(DataDir):
    """Typed settings. Build with `load_settings`, which turns bad values into one readable error."""

    host: str = Field("127.0.0.1", description="Address the web process listens on.")
    port: int = Field(9090, ge=1, le=65535, description="Port the web process listens on.")
    public_url: str = Field("", description="URL Label Studio reaches this backend at; default http://HOST:PORT.")
    redis_url: str = Field(
        "",
        repr=False,
        description="Redis to use; empty starts an embedded one under DATA_DIR. redis://[user:password@]host:port/db, "
        "rediss:// (TLS), unix:///path?db=0 or redis+sentinel://host:port,host:port/service/db.",
    )
    redis_ca_file: str = Field("", description="Certificates (PEM) that vouch for a rediss:// server; empty: public.")
    redis_binary: str = Field(
        "",
        description="Program that runs the embedded Redis (redis-server or valkey-server, 6.2 or newer); empty: the "
        "first on PATH, else the one a Python package carries.",
    )
    allow_unsafe_redis: bool = Field(
        False, description="Accept a Redis without appendfsync always and noeviction (labels can be lost)."
    )
    artifacts_url: str = Field(
        "",
        description="Object store for versions, checkpoints and backups, so that machines share no disk: "
        "s3://bucket/prefix, gs://…, az://… or file:///path; endpoint and credentials by the store's own variables "
        "(AWS_*, …). Empty: DATA_DIR alone.",
    )
    artifacts_cache_mb: int = Field(
        8192,
        ge=64,
        le=16_777_216,
        description="Versions kept on this machine besides those in use when ARTIFACTS_URL is set, in MiB: the least "
        "recently used go first.",
    )
    base_model: str = Field(
        "",
        description="BERT-family encoder: a preset (english-small, english-better, multilingual, long: "
        "docs/encoders.md), a hub id or a directory; empty takes the packaged MiniLM, verified by its digest. A "
        "trained classifier (of texts, or of tokens for spans) with matching labels answers from the first task on.",
    )
    precision: Literal["auto", "fp32", "bf16", "int8"] = Field(
        "auto",
        description="Number format of the encoder and of training: fp32 is exact, bf16 faster on some hardware; int8 "
        "is for the encoder alone, and taken where its pooled layers stay what they are in fp32; auto takes, for each "
        "of the two, fp32 or bf16, whichever is faster on this machine, timed once at the first start, and for the "
        "encoder int8 where whole layers are 1.3 times as fast in it. Another format than before reads the texts anew "
        "in the background.",
    )
    label_studio_url: str = Field("", description="Label Studio's URL; needed for reconciling and connect.")
    label_studio_ca_file: str = Field(
        "",
        description="Certificates (PEM) that vouch for an https:// Label Studio, such as your company's authority's; "
        "besides the public ones, or what REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE or SSL_CERT_DIR name.",
    )
    label_studio_api_key: SecretStr = Field(
        SecretStr(""), description="Personal access token or legacy token of a Label Studio user."
    )
    basic_auth_user: str = Field("", description="User name for Label Studio's calls; empty switches it off.")
    basic_auth_pass: SecretStr = Field(SecretStr(""), description="Password that goes with BASIC_AUTH_USER.")
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Secret of /webhook; generated into DATA_DIR when basic auth is on and this is empty.",
    )
    admin_token: SecretStr = Field(
        SecretStr(""), description="Bearer token of /admin; generated into DATA_DIR (mode 0600) when empty."
    )
    hf_token: SecretStr = Field(
        SecretStr(""),
        description="Token of the model hub: for `understudy export --push-to-hub`, which may write there.",
    )
    notify_url: str = Field(
        "",
        repr=False,
        description="Webhook that is told what matters (docs/notifications.md); several with commas between them; "
        "empty: nobody is.",
    )
    notify_secret: SecretStr = Field(
        SecretStr(""),
        description="Signs what NOTIFY_URL is sent: `whsec_` and base64 of 24 to 64 random bytes; two with a blank "
        "between them while one follows the other.",
    )
    notify_accuracy: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Tell NOTIFY_URL when a control surely reaches this accuracy on unlabelled tasks (F1 of marked "
        "spans): its labels are enough; 0: never.",
    )
    teacher_url: str = Field(
        "",
        description="Language model that `understudy teach PROJECT` may ask about unlabelled texts: an OpenAI-format "
        "endpoint such as http://127.0.0.1:11434/v1 (docs/teacher.md); empty: no text leaves this machine for one.",
    )
    teacher_model: str = Field("", description="Which model is asked there; must be set when TEACHER_URL is.")
    teacher_key: SecretStr = Field(SecretStr(""), description="Bearer token of TEACHER_URL, where it wants one.")
    teacher_texts: int = Field(
        500, ge=20, le=5000, description="Most texts that one run of `understudy teach` asks the teacher about."
    )
    teacher_price: float = Field(
        0.0,
        ge=0,
        le=1_000_000,
        description="What TEACHER_URL takes for a million tokens, to tell the cost before; 0: not told.",
    )
    ui_session_minutes: int = Field(
        720, ge=1, le=43_200, description="Minutes after which a browser must log in to the model page again."
    )
    ui_people: bool = Field(
        True, description="The model page tells of each annotator: labels, pace, reliability and agreement."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe level logged.")
    web_threads: int = Field(
        32, ge=2, le=256, description="HTTP threads of the web process; a quarter is never taken by /predict."
    )
    predict_threads: int = Field(0, ge=0, le=256, description="Predictor threads; 0 means one per core.")
    predict_deadline: float = Field(
        80.0,
        gt=0,
        le=3600,
        description="Seconds after which /predict declines what is not done (Label Studio waits 100).",
    )
    client_seconds: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="Seconds that a client has to send a whole request, and as many to take the reply.",
    )
    max_body_mb: int = Field(64, ge=1, le=2048, description="Largest request body accepted, in MiB.")
    max_text_chars: int = Field(100_000, ge=100, le=10_000_000, description="Longer texts are cut to this length.")
    feature_cache_mb: int = Field(
        2048, ge=16, le=16_777_216, description="Upper bound of the on-disk feature cache, in MiB."
    )
    word_cache_mb: int = Field(
        1024, ge=16, le=16_777_216, description="Most MiB of word states, for spans, kept on disk: 2 KB a word."
    )
    answer_cache_mb: int = Field(32, ge=1, le=65536, description="Upper bound of the answers kept in memory, in MiB.")
    pool_size: int = Field(
        4000,
        ge=100,
        le=1_000_000,
        description="Unlabelled texts kept per project, for the queue and cold start; of more a sample.",
    )
    poll_seconds: float = Field(
        2.0, gt=0, le=60, description="How often replicas check for a new version besides pub/sub."
    )
    scheduler_seconds: float = Field(2.0, gt=0, le=60, description="How often the scheduler asks what is due.")
    resync_minutes: float = Field(
        10.0, gt=0, le=525_600, description="Minutes between reconciliations with Label Studio."
    )
    doctor_minutes: float = Field(
        15.0,
        ge=0,
        le=525_600,
        description="Minutes between two examinations (`understudy doctor`) whose findings the model page shows; "
        "0: only when somebody asks there.",
    )
    finetune_enabled: bool = Field(True, description="Fine-tune automatically when due; an admin can always ask.")
    finetune_min_labels: int = Field(
        32, ge=2, le=100_000_000, description="Fewest labels before an automatic fine-tune."
    )
    finetune_min_per_class: float = Field(
        5.0, ge=0, le=1_000_000, description="Fewest labels per class on average (1 if over 50 classes)."
    )
    finetune_growth: float = Field(
        0.25, gt=0, le=1000, description="Growth in labels since the last run that makes the next due."
    )
    finetune_minutes: float = Field(
        30.0, ge=0, le=525_600, description="With a new label a fine-tune is due after so many minutes (0: never)."
    )
    finetune_steps: int = Field(
        0, ge=0, le=1_000_000, description="Optimiser steps; 0 takes the number from the label count."
    )
    finetune_threads: int = Field(
        0, ge=0, le=1024, description="Torch threads of the trainer; 0 means all cores but one, at least one."
    )
    finetune_launch: Annotated[str, AfterValidator(check_launcher)] = Field(
        "",
        description="Command that starts a fine-tune on several processes, for instance `accelerate launch --multi_gpu "
        "--num_processes 4`; empty: one process.",
    )
    finetune_timeout_minutes: float = Field(
        360.0, gt=0, le=525_600, description="A fine-tune that takes longer is stopped, and has failed."
    )
    finetune_stall_minutes: float = Field(
        30.0,
        gt=0,
        le=525_600,
        description="A training process that says nothing for so long is killed; it goes on from its checkpoint.",
    )
    refit_timeout_seconds: float = Field(
        120.0, ge=1, le=604_800, description="A refit that takes longer is stopped, and has failed."
    )
    sync_timeout_minutes: float = Field(
        60.0, gt=0, le=525_600, description="A reconciliation that takes longer is stopped, and has failed."
    )
    job_grace_seconds: float = Field(
        30.0, gt=0, le=86_400, description="A process that runs on when its job's time is over is killed so late."
    )
    stop_seconds: float = Field(
        20.0,
        ge=0,
        le=3600,
        description="Seconds that a worker has after SIGTERM to finish its job, or a training to write a checkpoint; "
        "what is not done then goes on in another worker, and is no failure. Whatever stops the container must wait 10 "
        "more (terminationGracePeriodSeconds, stop_grace_period, TimeoutStopSec).",
    )
    queue_enabled: bool = Field(
        True,
        description="Steer Label Studio's queue: for connected projects with Uncertainty sampling the next tasks are "
        "those the model learns most from (needs LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY).",
    )
    queue_strategy: Strategy = Field(
        "margin_clusters", description="How the next tasks are chosen (docs/active-learning/strategies.md)."
    )
    queue_size: int = Field(64, ge=4, le=5000, description="Tasks that are put into the queue at a time.")
    queue_blind_share: float = Field(
        0.05,
        ge=0,
        le=0.5,
        description="Share of tasks drawn at random and shown without a pre-label: an unbiased measure of the model, "
        "and of how much annotators copy it.",
    )
    queue_explore_share: float = Field(
        0.05, ge=0, le=0.5, description="Share of tasks drawn at random and shown with their pre-label."
    )
    hunt_share: float = Field(0.3, ge=0, le=0.5, description="Share of labels for scarce classes (hunt.md); 0: none.")
    queue_growth: float = Field(
        0.1, gt=0, le=1000, description="Growth in labels since the queue was planned that makes a new plan due."
    )
    queue_seconds: float = Field(
        30.0, ge=0, le=604_800, description="Fewest seconds between two plans of a project's queue."
    )
    predict_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of the time that `understudy predict PROJECT` works; the rest it leaves Label Studio alone.",
    )
    file_roots: str = Field(
        "",
        description="Folders and URLs such as `s3://bucket/in/`, with commas between them, that a worker of "
        "`understudy predict IN -o OUT` may read and write; empty: none.",
    )
    files_in_flight: int = Field(
        32,
        ge=1,
        le=10_000,
        description="Shards of files that wait or are worked on at a time: as many workers can share a run.",
    )
    relabel_push: bool = Field(
        False,
        description="After each reconciliation list the labels that are probably wrong in a tab of Label Studio, as "
        "`understudy suspects PROJECT --push` does.",
    )
    gate_min_examples: int = Field(
        20, ge=2, le=100_000_000, description="Fewest held-out examples for the gate to decide."
    )
    keep_versions: int = Field(
        20, ge=2, le=1_000_000, description="Versions kept per project besides live and pinned ones."
    )
    abstain_below: float = Field(0.0, ge=0, le=1, description="Predictions under this score are withheld; 0 never.")
    multilabel_thresholds: Literal["shared", "per_label"] = Field(
        "shared", description="Sets: one threshold for all labels (micro-F1), or one for each (macro-F1)."
    )
    spans_show: Literal["clicks", "f1"] = Field(
        "clicks",
        description="Spans are shown where that saves the annotator clicks, or as many as the figure F1 asks for.",
    )
    seed: int = Field(0, ge=0, le=4_294_967_295, description="Seed of every random choice in training.")
    failpoint: str = Field(
        "",
        description="For tests only: the step at which a process kills itself, hangs or finds the disk full, as "
        "`[kill:|hang:|full:|raise:|term:|stuck:]step[@project]` (model/failpoints.py); empty: never.",
    )

    @field_validator("notify_secret")
    @classmethod
    def _require_a_secret(cls, value: SecretStr, given: ValidationInfo) -> SecretStr:
        check_hook_secrets(value.get_secret_value(), bool(given.data.get("notify_url")))
        return value

    @field_validator("teacher_model")
    @classmethod
    def _require_a_model(cls, value: str, given: ValidationInfo) -> str:
        check_teacher_model(value, bool(given.data.get("teacher_url")))
        return value

    @field_validator("failpoint")
    @classmethod
    def _require_a_step(cls, value: str) -> str:
        read_failpoint(value)
        return value

    @classmethod
    def environ(cls) -> MutableMapping[str, str]:
        """Where values come from first."""
        return os.environ

    @property
    def url(self) -> str:
        """The URL to give Label Studio."""
        return self.public_url.rstrip("/") or url_of(self.host, self.port)

    @property
    def basic_auth(self) -> tuple[str, str] | None:
        """(user, password) that Label Studio is to send; None when basic auth is off."""
        return (self.basic_auth_user, self.basic_auth_pass.get_secret_value()) if self.basic_auth_user else None

    @property
    def has_label_studio(self) -> bool:
        """Whether LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are set."""
        return bool(self.label_studio_url and self.label_studio_api_key.get_secret_value())

    @property
    def effective_redis_url(self) -> str:
        """REDIS_URL, or the embedded server's unix socket."""
        return self.redis_url or f"unix://{quote(str(self.redis_socket))}?db=0"


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment. Raises SettingsError: names the setting, where it stands and what is allowed."""
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        raise explain(error) from None  # pydantic's own text holds the values
    process_redactor().learn_login(settings.basic_auth_user, settings.basic_auth_pass.get_secret_value())
    return settings


@lru_cache(maxsize=1)
def current_settings() -> Settings:
    """The process's settings, read once (RQ jobs and entry points use this)."""
    return load_settings()


def child_environment(**changes: str) -> dict[str, str]:
    """A copy of this process's environment with `changes`, for subprocesses (secrets travel here, never in argv)."""
    return {**os.environ, **changes}


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment of `understudy up`'s children: this one, with what the command line or the demo set."""
    given = {"HOST": settings.host, "PORT": str(settings.port), "DATA_DIR": str(settings.data_dir.absolute())}
    if settings.label_studio_url:
        given["LABEL_STUDIO_URL"] = settings.label_studio_url
    if key := settings.label_studio_api_key.get_secret_value():
        given["LABEL_STUDIO_API_KEY"] = key
    if tempfile.tempdir:
        given["TMPDIR"] = tempfile.tempdir  # where it is, once somebody has looked (process_limits.py)
    return child_environment(**given, **own_modules())


def own_modules() -> dict[str, str]:
    """Lets a Python that is started here find our modules, and none of this folder's: every example of a Label Studio
    ML backend has a model.py. Where this folder is the clone, they are ours."""
    return {} if Path.cwd() == Path(__file__).resolve().parents[2] else {"PYTHONSAFEPATH": "1"}
