"""Settings: one precedence, where each came from, what is told of wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kinprint.server.limits import Capacity
from kinprint.server.settings import Effective, Settings, SettingsError, load
from pydantic import SecretStr


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAST_TIER", "JOBS", "LIMITS__STREAMS", "LISTEN", "THREADS", "CONFIG", "METRICS", "AUDIT"):
        monkeypatch.delenv(f"KINPRINT_{name}", raising=False)


def _file(folder: Path, text: str) -> Path:
    path = folder / "kinprint.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_flags_go_before_environment_before_file_before_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _file(tmp_path, 'data = "/srv/a"\njobs = 3\ndrain_seconds = 7\nmodel = "none"\n[limits]\nstreams = 9\n')
    monkeypatch.setenv("KINPRINT_JOBS", "4")
    monkeypatch.setenv("KINPRINT_DRAIN_SECONDS", "8")
    found = load({"drain_seconds": "9", "limits": {"corpora": "12"}}, config)
    assert found.values.data == Path("/srv/a")
    assert (found.values.jobs, found.values.drain_seconds, found.values.model) == (4, 9.0, "none")
    assert (found.values.limits.streams, found.values.limits.corpora) == (9, 12)
    assert found.values.limits.calls == Capacity().calls
    assert found.sources == {
        "data": "file",
        "jobs": "environment",
        "drain_seconds": "flag",
        "model": "file",
        "limits.streams": "file",
        "limits.corpora": "flag",
    }


def test_the_environment_sets_lists_and_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINPRINT_LISTEN", "127.0.0.1:1, unix:/tmp/a")
    monkeypatch.setenv("KINPRINT_LIMITS__STREAMS", "5")
    monkeypatch.setenv("KINPRINT_FAST_TIER", "off")
    monkeypatch.setenv("KINPRINT_JOBS", "")
    found = load({"data": "/d"})
    assert found.values.listen == ["127.0.0.1:1", "unix:/tmp/a"]
    assert found.values.capacity().streams == 5
    assert found.values.fast_tier is False
    assert found.values.jobs is None


def test_variables_of_commands_are_none_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINPRINT_LINGER", "0")
    monkeypatch.setenv("KINPRINT_SERVER", "host:1")
    assert load({"data": "/d"}).sources == {"data": "flag"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("listn = 1", "there is no setting 'listn'; did you mean 'listen'"),
        ("[limits]\nstream = 1", "there is no setting 'limits.stream'; did you mean 'limits.streams'"),
        ("zzzzqqq = 1", "there is no setting 'zzzzqqq'"),
        ("jobs = 0", "jobs: Input should be greater than or equal to 1"),
        ('job_memory = "much"', "job_memory: 'much' is no size"),
        ('[limits]\nrate = "often"', "limits.rate: 'often' is no rate"),
        ('metrics = "9464"', "metrics: '9464' is no HOST:PORT"),
        ("jobs = ", "is no TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, text: str, told: str) -> None:
    config = _file(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load({"data": "/d"}, config)
    assert told in str(caught.value)
    assert str(config) in str(caught.value)


def test_what_is_wrong_elsewhere_is_named_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="no configuration file"):
        load({}, tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="--data, KINPRINT_DATA, or data"):
        load({})
    with pytest.raises(SettingsError, match="--job-memory: 'x' is no size"):
        load({"data": "/d", "job_memory": "x"})
    with pytest.raises(SettingsError, match="--limit stream"):
        load({"data": "/d", "limits": {"stream": "1"}})
    monkeypatch.setenv("KINPRINT_JOBS", "many")
    with pytest.raises(SettingsError, match="KINPRINT_JOBS"):
        load({"data": "/d"})


def test_sizes_are_read_in_all_three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = _file(tmp_path, 'audit_bytes = "1M"\n[limits]\ninflight_bytes = "64M"\n')
    monkeypatch.setenv("KINPRINT_LIMITS__GATHERED_BYTES", "1.5G")
    values = load({"data": "/d", "job_memory": "2g"}, config).values
    assert (values.audit_bytes, values.limits.inflight_bytes) == (1 << 20, 64 << 20)
    assert (values.limits.gathered_bytes, values.job_memory) == (3 << 29, 2 << 30)


def test_lines_tell_sources_and_hide_secrets() -> None:
    class Secretive(Settings):
        token: SecretStr = SecretStr("")

    told = list(Effective(Secretive(data="/d", token="hush"), {"data": "flag", "token": "file"}).lines())  # type: ignore[arg-type]
    assert 'data = "/d"  # flag' in told
    assert "# metrics is not set" in told
    assert "limits.streams = 64  # default" in told
    assert 'token = "**********"  # file' in told
    assert "hush" not in "\n".join(told)


def test_a_start_tells_what_differs_from_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jwks = "https://user:hush@issuer.example/keys"
    config = _file(tmp_path, f'jobs = 3\noidc_jwks = "{jwks}"\ndrain_seconds = 30\n[limits]\nstreams = 9\n')
    monkeypatch.setenv("KINPRINT_LOG_FORMAT", "json")
    effective = load({"data": "/d", "listen": ["127.0.0.1:1"]}, config)
    assert list(effective.changed()) == [
        'service: data = "/d"  # flag',
        'service: listen = ["127.0.0.1:1"]  # flag',
        'access: oidc_jwks = "https://**********@issuer.example/keys"  # file',
        "work: jobs = 3  # file",
        'operation: log_format = "json"  # environment',
        "limits: limits.streams = 9  # file",
    ]
    told = effective.as_json()["settings"]
    assert told["jobs"] == {"value": 3, "default": None, "source": "file", "changed": True}
    assert told["drain_seconds"] == {"value": 30.0, "default": 30.0, "source": "file", "changed": False}
    assert told["limits.calls"]["source"] == "default"
    assert "hush" not in json.dumps(told)


def test_the_settings_to_begin_with_are_settings() -> None:
    found = load({}, Path(__file__).parents[2] / "deploy" / "kinprint.toml").values
    assert found.data == Path("/var/lib/kinprint")
    assert found.limits.streams == 32


def test_every_setting_has_its_group() -> None:
    assert "# ---- further ----" not in list(load({"data": "/d"}).lines())


@pytest.mark.parametrize("name", ["KINPRINT_JOBZ", "KINPRINT_LISTENN", "KINPRINT_LIMITS__STREMS"])
def test_a_misspelt_variable_is_refused_and_the_near_one_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=f"{name}.*did you mean KINPRINT_"):
        load({"data": Path("x")})
    monkeypatch.delenv(name)
    monkeypatch.setenv("KINPRINT_OF_ANOTHER_PROGRAM", "1")
    assert load({"data": Path("x")}).values.data == Path("x")
