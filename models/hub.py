"""Checkpoints on a model hub: names, download into its cache, upload. Imports without torch and the hub's package.

The package `huggingface_hub` (extra `hub`) keeps token, cache, address and offline mode as its own tools do.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from models.checkpoint import CONFIG, CheckpointError, read_config

NAME = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[^\s@]+))?", re.ASCII)
SERVED = (CONFIG, f"*/{CONFIG}", "*.safetensors", "README.md")  # what a download asks for: data only, nothing pickled
ELSEWHERE = ("*/*/*",)  # deeper than a tokenizer lies
CACHED = "models--"  # the cache's folder of a repository: models--org--name/snapshots/COMMIT
LOGIN = "`hf auth login`, or set HF_TOKEN"
TRANSPORTS = {"requests", "httpx", "httpx2", "urllib3"}  # whose errors mean that nothing was reached
DENIED = (401, 403)


class HubError(CheckpointError):
    """What keeps a checkpoint from being fetched or pushed, in one line that names it."""


@dataclass(frozen=True)
class HubName:
    """`org/name`, with the branch, tag or commit after an @ where one is pinned."""

    repo: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> "HubName | None":
        """None for what cannot be a repository, such as a path with another number of slashes."""
        found = NAME.fullmatch(text)
        return None if found is None else cls(found["repo"], found["revision"])

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


def local(path: Path) -> Path:
    """`path`, unless nothing is there and it reads `org/name[@revision]`: then the cached download of that repository.

    Where the folder `org` exists here a missing `org/name` is a missing path; with a revision it is always the hub's.
    Raises HubError.
    """
    name = HubName.parse(str(path))
    if name is None or path.exists() or (name.revision is None and path.parent.is_dir()):
        return path
    return download(name)


def cached_name(path: Path) -> str | None:
    """The repository's own name where `path` is a snapshot in the cache, else None."""
    repository = path.parent.parent.name
    if path.parent.name != "snapshots" or not repository.startswith(CACHED):
        return None
    return repository.rpartition("--")[2]


def download(name: HubName) -> Path:
    """The snapshot of a repository, fetched into the cache where it is not there yet. Raises HubError.

    Weights are fetched only once config.json has been read as that of a checkpoint. Without a network a revision
    that was fetched before is found in the cache.
    """
    _require_package()
    from huggingface_hub import hf_hub_download, snapshot_download

    with _one_line(name):
        commit = Path(hf_hub_download(name.repo, CONFIG, revision=name.revision)).parent
        try:
            read_config(commit)
        except CheckpointError as error:
            raise HubError(f"{name}: not a checkpoint: {error}") from None
        return Path(
            snapshot_download(
                name.repo, revision=commit.name, allow_patterns=list(SERVED), ignore_patterns=list(ELSEWHERE)
            )
        )


def upload(files: Mapping[str, Path | bytes], name: HubName, private: bool = False, endpoint: str | None = None) -> str:
    """Make one commit of `files` (path there -> file here, or bytes); returns its address. Raises HubError.

    The repository, and the branch that `name.revision` names, are made where they are missing. Weight files beside the
    new ones are deleted in the same commit, since they would be read with them; what lies elsewhere stays.
    """
    _require_package()
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    if get_token() is None:
        raise HubError(f"{name}: no token: {LOGIN}")
    api = HfApi(endpoint=endpoint, library_name="maskserve")
    with _one_line(name):
        api.create_repo(name.repo, private=private or None, exist_ok=True)
        if private and not api.model_info(name.repo).private:
            raise HubError(f"{name}: the repository is there and public: make it private first, or leave out --private")
        if name.revision is not None:
            api.create_branch(name.repo, branch=name.revision, exist_ok=True)
        there = api.list_repo_files(name.repo, revision=name.revision)
        stale = [path for path in there if path not in files and _beside(path, files)]
        add = [
            CommitOperationAdd(path, source if isinstance(source, bytes) else str(source))
            for path, source in files.items()
        ]
        commit = api.create_commit(
            name.repo,
            [*add, *(CommitOperationDelete(path) for path in stale)],
            commit_message="Upload a maskserve checkpoint",
            revision=name.revision,
        )
    return str(commit.commit_url)


def _beside(path: str, files: Mapping[str, Path | bytes]) -> bool:
    """Whether a weight file lies in a folder that one of `files` puts weights into."""
    folders = {PurePosixPath(own).parent for own in files if own.endswith(".safetensors")}
    return path.endswith(".safetensors") and PurePosixPath(path).parent in folders


def _require_package() -> None:
    try:
        import huggingface_hub  # noqa: F401 - whether it is there
    except ImportError:
        raise HubError("the hub needs one more package: pip install 'maskserve[hub]'") from None


@contextmanager
def _one_line(name: HubName) -> Iterator[None]:
    """Turn what the package raises into HubError."""
    from huggingface_hub import errors

    try:
        yield
    except CheckpointError:
        raise
    except errors.HFValidationError as error:
        raise HubError(f"{name}: no name of a repository: {_first_line(error)}") from None
    except errors.GatedRepoError:
        raise HubError(f"{name}: ask for access on its page, then {LOGIN}") from None
    except errors.RepositoryNotFoundError:
        raise HubError(f"{name}: no such directory and no such repository; if it is private: {LOGIN}") from None
    except errors.RevisionNotFoundError:
        raise HubError(f"{name}: the repository has no such revision") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        raise HubError(f"{name}: no such directory, not in the cache, and the hub cannot be reached") from None
    except errors.EntryNotFoundError:
        raise HubError(f"{name}: the repository has no {CONFIG}, so it is no checkpoint") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        reason = LOGIN if status in DENIED else error.server_message or _first_line(error)
        raise HubError(f"{name}: the hub answered {status}: {reason}") from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] in TRANSPORTS or isinstance(error, ConnectionError):
            raise HubError(f"{name}: the hub cannot be reached: {_first_line(error)}") from None
        if isinstance(error, OSError):
            raise HubError(f"{name}: {error.strerror or _first_line(error)}") from None
        raise


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
