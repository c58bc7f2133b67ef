"""DATA_DIR, and where everything lies in it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from backend.settings.base import GivenModel


class DataDir(GivenModel):
    """The part of the settings that says what is where on this machine's disk."""

    data_dir: Path = Field(Path(".understudy"), description="Everything written on disk lives here.")

    @property
    def models_dir(self) -> Path:
        """Root of the version directories: `<models_dir>/<project>/<version>/`."""
        return self.data_dir / "models"

    @property
    def runs_dir(self) -> Path:
        """Scratch of training runs: snapshot, checkpoints, result."""
        return self.data_dir / "runs"

    @property
    def exports_dir(self) -> Path:
        """Finished exports, and the work of those that run: `<exports_dir>/<project>/`."""
        return self.data_dir / "exports"

    @property
    def pools_dir(self) -> Path:
        """What the last plan answered to each project's pool: `<pools_dir>/<project>/answers.json`."""
        return self.data_dir / "pools"

    @property
    def features_dir(self) -> Path:
        """The feature cache shared by this machine's processes."""
        return self.data_dir / "features"

    @property
    def words_dir(self) -> Path:
        """The cache of word states, for spans."""
        return self.data_dir / "words"

    @property
    def priors_dir(self) -> Path:
        """The transfer priors that were trained here, one an encoder."""
        return self.data_dir / "priors"

    @property
    def encoders_dir(self) -> Path:
        """Where the files of each encoder lie that was used here, one small file an encoder."""
        return self.data_dir / "encoders"

    def prior_path(self, digest: str) -> Path:
        """Where the one for the encoder of this digest lies."""
        return self.priors_dir / f"{digest}.safetensors"

    @property
    def redis_socket(self) -> Path:
        """The embedded Redis's unix socket, the same for every process of one DATA_DIR (any length: unix_socket.py)."""
        return (self.data_dir / "redis" / "redis.sock").absolute()
