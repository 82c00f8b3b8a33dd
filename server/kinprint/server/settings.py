"""Settings of `serve`: flags before environment before file before defaults, and where each one came from.

Every setting has one name: `job_memory` in the file, `KINPRINT_JOB_MEMORY` in the environment, `--job-memory` as a
flag.  Those of the section `[limits]` are `KINPRINT_LIMITS__STREAMS` and `--limit streams=N`.  What is about one
process and not about the service (`lazy`, `linger`, `exit_with_stdin`, `take_over`) is a flag alone.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from kinprint.server.limits import Capacity
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PREFIX = "KINPRINT_"
_USUAL = Capacity()


class SettingsError(ValueError):
    """A setting is unknown or has no such value; the message names it, where it stands, and what to do."""


def size(value: Any) -> Any:
    """Bytes of a size such as 512M, 8G or 1000000; what is no text passes.  Raises ValueError."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", value.strip(), re.IGNORECASE)
    if found is None:
        raise ValueError(f"{value!r} is no size; write bytes, or a number with K, M, G or T")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _rates(value: str) -> str:
    """A rate as `limits` writes it, which is imported only where one is set."""
    if value.strip():
        from limits import parse_many

        try:
            parse_many(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no rate; write for example 100/second; 100000/day") from error
    return value.strip()


def _endpoint(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}", value):
        raise ValueError(f"{value!r} is no HOST:PORT")
    return value


Size = Annotated[int, BeforeValidator(size), Field(ge=0)]
Rate = Annotated[str, BeforeValidator(_rates)]


class LimitSettings(BaseModel):
    """What one server takes at a time; see Capacity."""

    model_config = ConfigDict(extra="forbid")

    calls: int = Field(default=_USUAL.calls, ge=1)
    streams: int = Field(default=_USUAL.streams, ge=1)
    inflight_bytes: Annotated[int, BeforeValidator(size), Field(ge=1)] = _USUAL.inflight_bytes
    gathered_bytes: Annotated[int, BeforeValidator(size), Field(ge=1)] = _USUAL.gathered_bytes
    corpora: int = Field(default=_USUAL.corpora, ge=1)
    rate: Rate = ""
    bytes_rate: Rate = ""


class Settings(BaseSettings):
    """Settings of a server; names, types and defaults."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True, extra="forbid"
    )

    data: Path
    listen: Annotated[list[str], NoDecode, BeforeValidator(_listed)] = []
    model: str = "default"
    model_providers: str | None = None
    lazy_model: bool = False
    fast_tier: bool = True
    drain_seconds: float = Field(default=30.0, ge=0)
    threads: int | None = Field(default=None, ge=1)
    jobs: int | None = Field(default=None, ge=1)
    job_memory: Size | None = None
    log: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)] = "INFO"
    log_format: Literal["text", "json"] = "text"
    metrics: Annotated[str | None, BeforeValidator(_endpoint)] = None
    audit: Path | None = None
    audit_bytes: Annotated[int, BeforeValidator(size), Field(ge=4096)] = 64 << 20
    scrub_hours: float = Field(default=24.0, ge=0)
    auth: bool = False
    #: Not `insecure`, which in the environment is a client's word for plaintext.
    listen_insecure: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    reflection: bool | None = None
    oidc_issuer: str | None = None
    oidc_audience: str | None = None
    oidc_jwks: str | None = None
    oidc_role_claim: str | None = None
    oidc_corpora_claim: str | None = None
    limits: LimitSettings = LimitSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, environment, file, in this order."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    def capacity(self) -> Capacity:
        """What the server takes at a time."""
        return Capacity(**self.limits.model_dump())


#: Settings as they are told together; those of `limits` are a group of their own.
_GROUPS = {
    "service": ("data", "listen", "drain_seconds", "reflection"),
    "access": (
        *("auth", "listen_insecure", "tls_cert", "tls_key", "tls_client_ca", "oidc_issuer", "oidc_audience"),
        *("oidc_jwks", "oidc_role_claim", "oidc_corpora_claim"),
    ),
    "model": ("model", "model_providers", "lazy_model", "fast_tier"),
    "work": ("threads", "jobs", "job_memory", "scrub_hours"),
    "operation": ("log", "log_format", "metrics", "audit", "audit_bytes"),
}


class Effective:
    """Settings as they are in force, and where each came from.

    Attributes
    ----------
    values
        The settings.
    sources
        By name (`limits.streams` for those of a section): "flag", "environment" or "file"; the rest are defaults.
    """

    def __init__(self, values: Settings, sources: Mapping[str, str]) -> None:
        self.values = values
        self.sources = dict(sources)

    def lines(self) -> Iterator[str]:
        """One line a setting, by groups, secrets hidden: `name = value  # where it came from`."""
        for group, settings in self._grouped().items():
            yield f"# ---- {group} ----"
            for name, value in settings:
                where = self.sources.get(name, "default")
                yield f"# {name} is not set" if value is None else f"{name} = {_shown(value)}  # {where}"

    def changed(self) -> Iterator[str]:
        """Of the same lines those of settings that differ from their defaults, each after its group's name."""
        usual = _defaults(type(self.values))
        for group, settings in self._grouped().items():
            for name, value in settings:
                if name not in usual or usual[name] != value:
                    yield f"{group}: {name} = {_shown(value)}  # {self.sources.get(name, 'default')}"

    def as_json(self) -> dict[str, Any]:
        """The same for programs: by name, value (secrets hidden), default, source, and whether the two differ."""
        usual = _defaults(type(self.values))
        told: dict[str, Any] = {}
        for name, value in _flat(self.values):
            told[name] = {
                "value": _plain(value),
                "default": _plain(usual.get(name)),
                "source": self.sources.get(name, "default"),
                "changed": name not in usual or usual[name] != value,
            }
        return {"settings": told}

    def _grouped(self) -> dict[str, list[tuple[str, Any]]]:
        groups: dict[str, list[tuple[str, Any]]] = {name: [] for name in (*_GROUPS, "limits", "further")}
        place = {name: group for group, names in _GROUPS.items() for name in names}
        for name, value in _flat(self.values):
            groups["limits" if name.startswith("limits.") else place.get(name, "further")].append((name, value))
        return {group: found for group, found in groups.items() if found}


def load(flags: Mapping[str, Any], config: Path | None = None) -> Effective:
    """The settings in force.

    flags: values by name of the setting, those that were given; `limits` holds those of its section.
    config: a TOML file.

    Raises SettingsError.
    """
    held = _read(config) if config is not None else {}

    # The class of one reading: pydantic's settings take their file from the class.
    class _Settings(Settings):
        model_config = SettingsConfigDict(toml_file=config)

    _Settings.__name__ = "Settings"
    _refuse_misspelt()
    try:
        from_environment = EnvSettingsSource(_Settings)()
        values = _Settings(**flags)
    except (ValidationError, ValueError) as error:
        raise SettingsError(_told(error, flags, held, config)) from error
    sources: dict[str, str] = {}
    for where, given in (("file", held), ("environment", from_environment), ("flag", flags)):
        sources.update(dict.fromkeys((name for name, _ in _flat_names(given)), where))
    return Effective(values, sources)


def _read(config: Path) -> dict[str, Any]:
    """The file as it stands.  Raises SettingsError, also for names that are no settings."""
    try:
        held = tomllib.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(f"there is no configuration file {config}") from error
    except OSError as error:
        raise SettingsError(f"cannot read the configuration file {config}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{config} is no TOML: {error}") from error
    known = {name for name, _ in _flat_names(_schema(Settings))}
    for name, _value in _flat_names(held):
        if name not in known:
            raise SettingsError(f"{config}: there is no setting {name!r}{_near(name, known)}")
    return held


#: Variables of clients, of builds and of this program that are no settings.
_ELSEWHERE = frozenset(
    {"API_KEY", "BUILD_MODEL", "CA", "CACHE", "CLIENT_CERT", "CLIENT_KEY", "CONFIG", "DEBUG", "INSECURE", "LINGER"}
    | {"PROGRESS", "SERVER", "SOAK_MOMENTS", "TEXTS", "TLS", "WHEELS"}
)


def _refuse_misspelt() -> None:
    """Raise SettingsError for a variable that is no setting and nearly one; others are somebody else's."""
    known = {name.upper().replace(".", "__") for name, _ in _flat_names(_schema(Settings))}
    for variable in sorted(_environment()):
        name = variable.removeprefix(PREFIX)
        if not variable.startswith(PREFIX) or name in known or name in _ELSEWHERE:
            continue
        from rapidfuzz import fuzz, process  # where there is one alone: a start is quick

        near = process.extractOne(name, sorted(known), scorer=fuzz.ratio, score_cutoff=75)
        if near is not None:
            raise SettingsError(f"{variable} is no setting; did you mean {PREFIX}{near[0]}? Unset it if it is not ours")


def _near(name: str, known: set[str]) -> str:
    from rapidfuzz import fuzz, process

    found = process.extract(name, sorted(known), scorer=fuzz.ratio, limit=3, score_cutoff=60)
    return f"; did you mean {' or '.join(repr(near) for near, *_ in found)}?" if found else ""


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """Names of a model's settings, sections as mappings."""
    sections = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        sections[name] = _schema(kind) if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    return sections


def _flat_names(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat_names(value, f"{before}{name}.")
        else:
            yield before + name, value


def _flat(model: BaseModel, before: str = "") -> Iterator[tuple[str, Any]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    """Defaults by name; what has none is not there."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if not field.is_required():
            usual = field.get_default(call_default_factory=True, validated_data={})
            found |= dict(_flat(usual, f"{name}.")) if isinstance(usual, BaseModel) else {name: usual}
    return found


#: User and password in a URL.
_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_HIDDEN = "**********"


def _plain(value: Any) -> Any:
    """A value as JSON has it; of a secret only that there is one."""
    match value:
        case SecretStr():
            return _HIDDEN if value.get_secret_value() else ""
        case None | bool() | int() | float():
            return value
        case list():
            return [_plain(item) for item in value]
    return _USERINFO.sub(_HIDDEN, str(value))


def _shown(value: Any) -> str:
    """A value as TOML writes it; of a secret only that there is one."""
    match value:
        case bool():
            return str(value).lower()
        case list():
            return "[" + ", ".join(_shown(item) for item in value) + "]"
        case int() | float():
            return repr(value)
    text = str(_plain(value)).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _told(error: ValueError, flags: Mapping[str, Any], held: Mapping[str, Any], config: Path | None) -> str:
    """What is wrong with which setting, and where that stands; never the value of one, which may be a secret."""
    if not isinstance(error, ValidationError):
        return f"a setting of the environment cannot be read: {error}"
    given, filed = ({name for name, _ in _flat_names(values)} for values in (flags, held))
    told = []
    for problem in error.errors(include_url=False, include_input=False):
        loc = [str(part) for part in problem["loc"]]
        name = ".".join(loc[:2] if loc[0] == "limits" else loc[:1])
        if problem["type"] == "missing":
            told.append(f"{name} is not set: --{name}, {PREFIX}{name.upper()}, or {name} in the configuration file")
            continue
        top = name.partition(".")[0]
        if name in given or top in given:
            where = f"--limit {name.partition('.')[2]}" if "." in name else f"--{name.replace('_', '-')}"
        elif name in filed and PREFIX + name.upper().replace(".", "__") not in _environment():
            where = f"{config}: {name}"
        else:
            where = PREFIX + name.upper().replace(".", "__")
        if problem["type"] == "extra_forbidden":
            known = {known for known, _ in _flat_names(_schema(Settings))}
            told.append(f"{where}: there is no setting {name!r}{_near(name, known)}")
            continue
        told.append(f"{where}: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(told)


def _environment() -> set[str]:
    return {name.upper() for name in os.environ}
