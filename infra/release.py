"""Which version the hosts run: a bundle of this checkout in S3, or a commit of a Git repository."""

import gzip
import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi_aws import s3

from stack_config import StackConfig, StackConfigError
from tags import tags

CHECKOUT = Path(__file__).parents[1]
BUNDLES = Path(__file__).parent / ".bundles"


@dataclass(frozen=True)
class Bundle:
    """An archive of one commit."""

    commit: str
    file: Path
    sha256: str


def make_bundle(checkout: Path = CHECKOUT, bundles: Path = BUNDLES) -> Bundle:
    """Archive what is committed, the same bytes each time; what is not committed stays here.

    Raises:
        StackConfigError: the checkout is none of Git.
    """
    try:
        commit = _git(checkout, "rev-parse", "HEAD").decode().strip()
        archive = _git(checkout, "archive", "--format=tar", commit)
        # Stacks' configurations are for Pulumi alone, which `make deploy` has write them.
        own = (".", ":(exclude)infra/Pulumi.*.yaml")
        changed = _git(checkout, "status", "--porcelain", "--untracked-files=no", "--", *own)
    except (OSError, subprocess.CalledProcessError) as error:
        raise StackConfigError(
            f"{checkout} is no Git checkout ({error}); set gitUrl and gitCommit"
        ) from None
    if changed:
        pulumi.log.warn(f"What is not committed is not deployed; the hosts get {commit[:12]}")
    packed = gzip.compress(archive, mtime=0)
    bundles.mkdir(exist_ok=True)
    file = bundles / f"{commit}.tar.gz"
    file.write_bytes(packed)
    return Bundle(commit, file, hashlib.sha256(packed).hexdigest())


def _git(checkout: Path, *command: str) -> bytes:
    return subprocess.run(["git", "-C", checkout, *command], capture_output=True, check=True).stdout


class Release(pulumi.ComponentResource):
    """`told` is what hosts read to find their version; `bundle_arn` what they may fetch."""

    told: Mapping[str, pulumi.Input[str]]
    bundle_arn: pulumi.Output[str] | None = None

    def __init__(self, name: str, config: StackConfig) -> None:
        super().__init__("celeriac:infra:Release", name)
        source = self._git(config) if config.git_url else self._upload()
        self.told = source | ({"image": config.image} if config.image else {})
        self.register_outputs({"commit": self.told["commit"]})

    @staticmethod
    def _git(config: StackConfig) -> dict[str, pulumi.Input[str]]:
        return {"repository": str(config.git_url), "commit": str(config.git_commit)}

    def _upload(self) -> dict[str, pulumi.Input[str]]:
        child = pulumi.ResourceOptions(parent=self)
        bundle = make_bundle()
        bucket = s3.Bucket("bundles", force_destroy=True, tags=tags("bundles"), opts=child)
        closed = s3.BucketPublicAccessBlock(
            "bundles",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        item = s3.BucketObjectv2(
            "bundle",
            bucket=bucket.id,
            key=bundle.file.name,
            source=pulumi.FileAsset(str(bundle.file)),
            source_hash=bundle.sha256,
            server_side_encryption="AES256",
            tags=tags("bundle"),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[closed]),
        )
        self.bundle_arn = pulumi.Output.concat("arn:aws:s3:::", bucket.id, "/", item.key)
        return {
            "bucket": bucket.id,
            "key": item.key,
            "sha256": bundle.sha256,
            "commit": bundle.commit,
        }
