"""All stores over one connection: what a process opens once."""

from __future__ import annotations

from backend.redis_access.connection import REPLY_SECONDS, Client, connect, guarded, verify
from backend.redis_access.job_queue import JobQueue, time_limits
from backend.redis_access.keys import SCHEDULER_LEASE
from backend.redis_access.leases import Leases
from backend.redis_access.watch import RedisWatch
from backend.settings.settings import Settings
from backend.store.admin.audit import AuditStore
from backend.store.admin.findings import FindingStore
from backend.store.admin.logins import LoginStore
from backend.store.admin.people import PeopleStore
from backend.store.duplicates.labelled_texts import LabelledTextStore
from backend.store.duplicates.pool_report import PoolReportStore
from backend.store.evidence import EvidenceStore
from backend.store.examples import ExampleStore
from backend.store.label_errors import LabelErrorStore
from backend.store.label_stream import LabelStreamStore
from backend.store.outbox.endpoint import endpoints_of
from backend.store.outbox.outbox import OutboxStore
from backend.store.projects import ProjectStore
from backend.store.rejects import RejectStore
from backend.store.schema import upgrade_schema
from backend.store.spans.patterns import PatternStore
from backend.store.suggestions import SuggestionStore
from backend.store.task_queue import TaskQueueStore
from backend.store.versions import VersionStore
from backend.store.work.exports import ExportStore
from backend.store.work.failures import FailureStore
from backend.store.work.file_runs import FileRunStore
from backend.store.work.job_counters import JobCounterStore
from backend.store.work.loss_curves import LossCurveStore
from backend.store.work.prediction_runs import PredictionRunStore
from backend.store.work.teachings import TeachingStore
from backend.store.work.trainings import JobStore


class Stores:
    """The example store and its neighbours. Opening sends nothing; `verify` does."""

    def __init__(self, settings: Settings, seconds: float = REPLY_SECONDS, client: Client | None = None) -> None:
        """`seconds`: how long one reply may take. `client`: in place of a connection of their own."""
        self.settings = settings
        self._redis: Client = connect(settings, seconds=seconds) if client is None else client
        self._leases = Leases(self._redis)
        self.queue = JobQueue(connect(settings, binary=True, seconds=seconds), time_limits(settings))
        self.outbox = OutboxStore(self._redis, endpoints_of(settings))
        self.examples = ExampleStore(self._redis)
        self.projects = ProjectStore(self._redis)
        self.patterns = PatternStore(self._redis)
        self.versions = VersionStore(self._redis, self.outbox.keys)
        self.evidence = EvidenceStore(self._redis)
        self.label_errors = LabelErrorStore(self._redis)
        self.labelled_texts = LabelledTextStore(self._redis)
        self.pool_reports = PoolReportStore(self._redis)
        self.jobs = JobStore(self._redis, self.queue, self.outbox.keys)
        self.loss_curves = LossCurveStore(self._redis)
        self.prediction_runs = PredictionRunStore(self._redis, self.queue)
        self.file_runs = FileRunStore(self._redis, self.queue, settings.files_in_flight)
        self.exports = ExportStore(self._redis, self.queue)
        self.teachings = TeachingStore(self._redis, self.queue)
        self.task_queue = TaskQueueStore(self._redis, self.queue)
        self.label_stream = LabelStreamStore(self._redis)
        self.failures = FailureStore(self._redis, self.outbox.keys)
        self.rejects = RejectStore(self._redis)
        self.suggestions = SuggestionStore(self._redis)
        self.counters = JobCounterStore(self._redis)
        self.audit = AuditStore(self._redis)
        self.logins = LoginStore(self._redis)
        self.people = PeopleStore(self._redis)
        self.findings = FindingStore(self._redis, self.queue)

    def verify(self) -> list[str]:
        """Problems that were accepted; takes on what an older release has stored. Raises StoreUnavailable for a
        Redis that is away or could lose labels, or was written by a newer release."""
        problems = verify(self._redis, self.settings)
        upgrade_schema(self._redis)
        return problems

    def watch(self) -> RedisWatch:
        """Eyes of this process's own on the server behind all this."""
        return RedisWatch(self._redis, self.settings)

    @property
    def client(self) -> Client:
        """The connection, for what reads across all stores."""
        return self._redis

    @guarded
    def hold_lease(self, owner: str, seconds: float) -> bool:
        """Whether `owner` is the one scheduler for the next `seconds`."""
        return self._leases.hold(SCHEDULER_LEASE, owner, seconds)

    @guarded
    def give_up_lease(self, owner: str) -> None:
        """Let another scheduler take over at once."""
        self._leases.release(SCHEDULER_LEASE, owner)

    @guarded
    def ping(self) -> None:
        """Raises StoreUnavailable when Redis does not answer."""
        self._redis.ping()

    def close(self) -> None:
        self._redis.close()
        self.queue._redis.close()
