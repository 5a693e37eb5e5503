"""Administration of InfluxDB: buckets with their retention, one token that may only write and one that may only read.

Everything may be done again: what is there is left alone. Errors of the client become Unreachable, with what to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.authorization import Authorization
from influxdb_client.domain.bucket import Bucket as StoredBucket
from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
from influxdb_client.domain.permission import Permission
from influxdb_client.domain.permission_resource import PermissionResource
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from routecast.dashboards.influx.connection import Connection, address_of, bucket_name
from routecast.dashboards.influx.delivery import Answer
from routecast.dashboards.influx.line_protocol import Destination
from routecast.dashboards.influx.schema import RETENTION_S, Bucket
from routecast.models.config import Influx
from routecast.models.errors import ConfigError, Unreachable
from routecast.models.influx import BucketMade, Finding, InfluxMade, TokenMade

Role = Literal["write", "read"]

TIMEOUT_MS: Final = 8_000
"""Longest wait for an answer: whoever stands at a terminal should know by then."""
_OWNER_ONLY: Final = 0o600
_MAY: Final = 204


class Administration:
    """What an administrator's token allows to do.

    Args:
        settings: address, organisation, prefix of the buckets.
        token: may read and write buckets and authorizations of the organisation; to make the organisation too, the operator's.
    """

    def __init__(self, settings: Influx, token: str) -> None:
        self._settings = settings
        self._token = token

    def make(self, *, renew: bool = False, save: bool = False) -> InfluxMade:
        """Make what is missing; with `renew` both tokens anew, with `save` into the files that the configuration names.

        Raises Unreachable, and ConfigError where a file cannot be written.
        """
        with _client(self._settings, self._token) as client:
            organisation = self._organisation(client)
            buckets = [self._bucket(client, organisation, name, kept_s) for name, kept_s in RETENTION_S.items()]
            files: dict[Role, str] = {"write": self._settings.token_file, "read": self._settings.read_token_file}
            made = [_token(client, organisation, self._described(role), role, file, buckets, renew=renew) for role, file in files.items()]
        if save:
            made = [_saved(token) for token in made]
        return InfluxMade(url=self._settings.url, organisation=self._settings.organisation, buckets=tuple(state for _, state in buckets), tokens=tuple(made))

    def _described(self, role: Role) -> str:
        return f"routecast {role} {self._settings.bucket_prefix}*"

    def _organisation(self, client: InfluxDBClient) -> str:
        """Its id; made where there is none."""
        organisations: Any = client.organizations_api()
        found = _found(lambda: organisations.find_organizations(org=self._settings.organisation))
        return str(found[0].id if found else organisations.create_organization(name=self._settings.organisation).id)

    def _bucket(self, client: InfluxDBClient, organisation: str, name: str, kept_s: int) -> tuple[str, BucketMade]:
        """Its id, and what was done; a bucket that keeps longer than it must is left so."""
        buckets: Any = client.buckets_api()
        full = f"{self._settings.bucket_prefix}{name}"
        rules = [BucketRetentionRules(type="expire", every_seconds=kept_s)]
        there = _found(lambda: buckets.find_buckets(org=self._settings.organisation, name=full).buckets)
        if not there:
            made = buckets.create_bucket(bucket=StoredBucket(name=full, org_id=organisation, retention_rules=rules))
            return made.id, BucketMade(name=full, kept_s=kept_s, done="made")
        found: Any = there[0]
        has_s = _kept_s(found)
        if has_s == 0 or 0 < kept_s <= has_s:
            return found.id, BucketMade(name=full, kept_s=has_s, done="there")
        found.retention_rules = rules
        buckets.update_bucket(bucket=found)
        return found.id, BucketMade(name=full, kept_s=kept_s, done="changed")


def findings(settings: Influx, tokens: dict[Role, str]) -> list[Finding]:
    """Whether the server answers, and whether each of these tokens may do what it must on every bucket, and no more.

    Nothing is written: an empty body asks whether one may. Raises Unreachable where nothing answers.
    """
    with _client(settings, next(iter(tokens.values()), "")) as client:
        version = str(client.version())
    found = [Finding(what=f"server at {settings.url}", ok=True, detail=f"InfluxDB {version.removeprefix('v')}")]
    if "write" in tokens:
        found += _may_write(settings, tokens["write"])
    if "read" in tokens:
        found += _may_read(settings, tokens["read"])
    return found


def _may_write(settings: Influx, token: str) -> list[Finding]:
    """The sink's token: every bucket, and nothing to read."""
    answers = _asked_to_write(settings, token)
    found = [
        Finding(
            what=f"sink may write to {bucket_name(settings, bucket)}", ok=answer.status == _MAY, detail="" if answer.status == _MAY else answer.message,
            mend=_mend(answer.status, "token_file"),
        )
        for bucket, answer in answers.items()
    ]  # fmt: skip
    if all(finding.ok for finding in found):
        readable = _buckets_of(settings, token)
        mend = "" if not readable else f"put the sink's own token into influx.token_file = {settings.token_file!r}: `routecast influx init --renew --save`"
        found.append(Finding(what="sink may not read", ok=not readable, detail=", ".join(sorted(readable)), mend=mend))
    return found


def _asked_to_write(settings: Influx, token: str) -> dict[Bucket, Answer]:
    connection = Connection(settings, token, timeout_s=TIMEOUT_MS / 1000)
    answers: dict[Bucket, Answer] = {bucket: connection.write(Destination(bucket, "ms"), ()) for bucket in RETENTION_S}
    connection.close()
    return answers


def _mend(status: int, key: str) -> str:
    return {
        _MAY: "",
        401: f"check the file of influx.{key}, or `routecast influx init --renew --save`",
        403: "`routecast influx init --renew --save` makes one that may",
        404: "check influx.organisation and influx.bucket_prefix; `routecast influx init` makes what is missing",
    }.get(status, "see that it answers")


def _may_read(settings: Influx, token: str) -> list[Finding]:
    """The readers' token: every bucket, and nothing to write."""
    try:
        there = _buckets_of(settings, token)
    except ApiException as error:
        return [Finding(what="readers may read", ok=False, detail=_told(error), mend=_mend(error.status or 0, "read_token_file"))]
    found = [_readable(bucket_name(settings, bucket), kept_s, there) for bucket, kept_s in RETENTION_S.items()]
    writable = [bucket_name(settings, bucket) for bucket, answer in _asked_to_write(settings, token).items() if answer.status == _MAY]
    mend = "" if not writable else f"put a token that only reads into influx.read_token_file = {settings.read_token_file!r}"
    found.append(Finding(what="readers may not write", ok=not writable, detail=", ".join(writable), mend=mend))
    return found


def _buckets_of(settings: Influx, token: str) -> dict[str, int]:
    """Of our buckets, those that a token may read, and how long each keeps what it is given, s. Raises ApiException, Unreachable."""
    with InfluxDBClient(settings.url, token, org=settings.organisation, timeout=TIMEOUT_MS, retries=False) as client:
        listed: list[Any] | None = getattr(client.buckets_api().find_buckets(org=settings.organisation, limit=100), "buckets", None)
    if listed is None:
        raise Unreachable(_stranger(settings))
    return {bucket.name: _kept_s(bucket) for bucket in listed if bucket.name.startswith(settings.bucket_prefix)}


def _readable(name: str, kept_s: int, there: dict[str, int]) -> Finding:
    what = f"readers may read {name}"
    if name not in there:
        return Finding(what=what, ok=False, detail="it does not exist, or they may not", mend="`routecast influx init --renew` makes bucket and tokens")
    has_s = there[name]
    if has_s and not 0 < kept_s <= has_s:
        detail = f"keeps {has_s} s, not {kept_s or 'for ever'}"
        return Finding(what=what, ok=False, detail=detail, mend="`routecast influx init` lengthens it")
    return Finding(what=what, ok=True)


def _found(search: Callable[[], list[Any]]) -> list[Any]:
    """What a search by name finds: the server takes it for a mistake where there is nothing."""
    try:
        return search()
    except ApiException as error:
        if error.status != 404:
            raise
        return []


def _kept_s(bucket: Any) -> int:
    """Seconds it keeps what it is given; 0: for ever."""
    return max((int(rule.every_seconds or 0) for rule in bucket.retention_rules or ()), default=0)


def _token(
    client: InfluxDBClient, organisation: str, described: str, role: Role, file: str, buckets: Sequence[tuple[str, BucketMade]], *, renew: bool,
) -> TokenMade:  # fmt: skip
    """Tokens may share a description, so look first."""
    authorizations: Any = client.authorizations_api()
    there = [found for found in authorizations.find_authorizations(org_id=organisation) or () if found.description == described]
    if there and not renew:
        allowed = {permission.resource.id for found in there for permission in found.permissions}
        return TokenMade(role=role, file=file, done="there", lacks=tuple(state.name for bucket, state in buckets if bucket not in allowed))
    allow = [Permission(action=role, resource=PermissionResource(type="buckets", id=bucket, org_id=organisation)) for bucket, _ in buckets]
    made = authorizations.create_authorization(authorization=Authorization(org_id=organisation, permissions=allow, description=described))
    for old in there:
        authorizations.delete_authorization(old)
    return TokenMade(role=role, file=file, done="changed" if there else "made", token=made.token)


def _saved(made: TokenMade) -> TokenMade:
    """The token in its file, readable by this user alone."""
    if made.token is None:
        return made
    try:
        Path(made.file).unlink(missing_ok=True)  # so that an old file's mode does not stay
        with os.fdopen(os.open(made.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "w") as out:
            out.write(made.token + "\n")
    except OSError as error:
        raise ConfigError(f"the token cannot be stored in {made.file!r}: {error.strerror}: give another file in [influx] and use --renew") from error
    return made.model_copy(update={"token": None, "saved": True})


@contextmanager
def _client(settings: Influx, token: str) -> Generator[InfluxDBClient]:
    """A client whose errors are ours. Raises ConfigError where `influx.url` is no address."""
    address_of(settings)
    try:
        with InfluxDBClient(settings.url, token, org=settings.organisation, timeout=TIMEOUT_MS, retries=False) as client:
            yield client
    except ApiException as error:
        raise Unreachable(f"InfluxDB at {settings.url!r} refuses ({error.status}: {_told(error)}): {_advice(error.status or 0)}") from error
    except (HTTPError, OSError) as error:
        raise Unreachable(f"InfluxDB at {settings.url!r} cannot be reached ({error}): check influx.url, and that it runs") from error
    except ValueError as error:  # of the client, which reads something else than it expects
        raise Unreachable(_stranger(settings)) from error


def _stranger(settings: Influx) -> str:
    return f"what answers at {settings.url!r} is no InfluxDB 2: check influx.url"


def _advice(status: int) -> str:
    return {
        0: "check influx.url, http or https too, and that it runs",
        401: "the token is not known there, or may not do that: put an administrator's into influx.admin_token_file",
        403: "the token may not do that: use one of an administrator of the organisation",
        404: "check that influx.organisation is the name of the organisation, and influx.url the address of an InfluxDB 2",
    }.get(status, "check that influx.url is the address of an InfluxDB 2")


def _told(error: ApiException) -> str:
    """The server's reason; the client puts it into `message` where it can read the answer."""
    return str(getattr(error, "message", "") or error.reason or "no reason given")
