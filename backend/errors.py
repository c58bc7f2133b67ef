"""Errors of the backend, each with a stable code and the HTTP status it maps to.

BackendError
├── BadRequest            400  body, field or parameter is unusable; `field` names it
├── BadPattern            400  a string or an expression that cannot be matched; `field` and `line` name it
├── Unauthorized          401  credentials missing or wrong
├── Forbidden             403  a web page of another site may not do this
├── UnsupportedConfig     422  the label config holds nothing that can be learned
├── NotFound              404  unknown project, version or job
├── Conflict              409  the state does not allow it (e.g. cancel of a finished job)
├── ArtifactConflict      409  the object store holds another version of that name
├── PayloadTooLarge       413
├── RateLimited           429  asked too often; `retry_after` says when to come again
├── StoreUnavailable      503  Redis is away, full or misconfigured
├── ArtifactsUnavailable  503  the object store is away or refuses
├── NotReady              503  models are still loading
├── Overloaded            503  more waits than can be done in time; `retry_after` says when to come again
├── LabelStudioError      502  Label Studio refused or did not answer
├── TeacherUnavailable    503  the teacher is away, slow or busy; `pause` says for how long it asks
├── TeacherRefused        502  the teacher will not do better soon: key, address or model must be mended
├── TeacherAnswerBad      502  what the teacher said of one text cannot be used
├── NoSpace               507  the disk is too small for what is asked for
├── MissingPackage        501  a format needs a package that is not installed
└── SettingsError         (start) a setting has an unusable value
"""

from __future__ import annotations

from typing import Any

from backend.redaction import hide_secrets


class BackendError(Exception):
    """Root of the tree. `code` is stable for machines; `evidence` goes to the log and, where safe, the reply.

    Messages quote what libraries and other programs say, so that secrets are taken out here, once for all."""

    code = "backend_error"
    status = 500

    def __init__(self, message: str, **evidence: Any) -> None:
        self.message = hide_secrets(message)
        self.evidence = {
            name: hide_secrets(value) if isinstance(value, str) else value for name, value in evidence.items()
        }
        super().__init__(self.message)


class BadRequest(BackendError):
    """The request cannot be used; `field` in the evidence names what is wrong."""

    code = "bad_request"
    status = 400


class BadPattern(BadRequest):
    """A string or an expression cannot be matched, or its label is not there; the message names line and remedy."""

    code = "bad_pattern"


class Unauthorized(BackendError):
    """Credentials are missing or wrong."""

    code = "unauthorized"
    status = 401


class Forbidden(BackendError):
    """Not allowed from there, whatever the credentials."""

    code = "forbidden"
    status = 403


class UnsupportedConfig(BackendError):
    """The label config holds no control that can be learned from its inputs."""

    code = "unsupported_label_config"
    status = 422


class NotFound(BackendError):
    """There is no such project, version or job."""

    code = "not_found"
    status = 404

    @classmethod
    def of_project(cls, project: int) -> NotFound:
        """There is no such project here."""
        return cls(f"project {project} is not known here: connect it with `understudy connect --project {project}`")


class Conflict(BackendError):
    """The present state does not allow the request."""

    code = "conflict"
    status = 409


class PayloadTooLarge(BackendError):
    """The body exceeds the limit."""

    code = "payload_too_large"
    status = 413


class RateLimited(BackendError):
    """Asked too often; `retry_after` in the evidence: seconds until it may be asked again."""

    code = "rate_limited"
    status = 429


class Undecidable(BackendError):
    """This task cannot be answered, `reason` says why; the other tasks of its batch can."""

    code = "undecidable_task"
    status = 400

    @property
    def reason(self) -> str:
        """What the task lacks."""
        return self.message


class StoreUnavailable(BackendError):
    """Redis does not answer, refuses writes, or is configured so that labels could be lost."""

    code = "store_unavailable"
    status = 503


class ArtifactsUnavailable(BackendError):
    """The object store of ARTIFACTS_URL is away or refuses: what is on this machine serves on, what is new waits."""

    code = "artifacts_unavailable"
    status = 503


class ArtifactConflict(Conflict):
    """The object store holds another version of that name; versions are immutable."""

    code = "artifact_conflict"


class WorkerStops(BaseException):
    """This worker was told to end, and the time of what it still does is over. No Exception: whoever catches those
    counts what happened as a failure of the work, and this is none."""


class NotReady(BackendError):
    """Models are still loading."""

    code = "not_ready"
    status = 503


class Overloaded(BackendError):
    """More work waits than can be done in time; `retry_after` in the evidence: seconds until there is room."""

    code = "overloaded"
    status = 503


class LabelStudioError(BackendError):
    """Label Studio's API refused the call or did not answer."""

    code = "label_studio_error"
    status = 502


class TeacherUnavailable(BackendError):
    """The teacher is away, too slow or too busy; `pause` in the evidence: seconds that it asks for."""

    code = "teacher_unavailable"
    status = 503


class TeacherRefused(BackendError):
    """The teacher refuses, and will not do better soon: the key, the address or the model must be mended."""

    code = "teacher_refused"
    status = 502


class TeacherAnswerBad(BackendError):
    """What the teacher said of one text cannot be used; the other texts' answers can."""

    code = "teacher_answer_bad"
    status = 502


class MissingPackage(BackendError):
    """A file format needs a package that understudy does not install; the message has the command that does."""

    code = "missing_package"
    status = 501


class NoSpace(BackendError):
    """The disk has too little room for what is asked for; nothing was written."""

    code = "no_space"
    status = 507


class SettingsError(BackendError):
    """A setting has a value that cannot be used; names it, its value and what is allowed."""

    code = "bad_setting"
