"""Settings as people write them: every secret, address and path is taken as it is meant, or refused by name, place and
reason, and no part of a secret is ever shown."""

from __future__ import annotations

import contextlib
import os
import re
import string
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.cli.main import main
from backend.errors import SettingsError
from backend.redaction import process_redactor
from backend.settings.settings import Settings, load_settings
from backend.settings.values import SECRETS, TOKENS

WORDS = sorted(SECRETS - {"redis_url", "notify_url", "notify_secret"})
HOOK = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = "a0" * 20
PLAIN = st.text(string.ascii_letters + string.digits, min_size=12, max_size=30)
ANYTHING = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=8, max_size=40)
IN_PLACE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `.env` but that of the test, and none of this machine's settings."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.lower() in Settings.model_fields or name.lower().endswith("_file"):
            monkeypatch.delenv(name)


def read(environ: Mapping[str, str]) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        return load_settings()


def value_of(settings: Settings, name: str) -> str:
    return str(getattr(settings, name).get_secret_value())


def refusal(environ: Mapping[str, str]) -> str:
    with pytest.raises(SettingsError) as refused:
        read(environ)
    assert refused.value.__cause__ is None, "pydantic's text holds the values"
    assert refused.value.__context__ is None or refused.value.__suppress_context__
    return refused.value.message


# Secrets


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("around", ["{}\n", "{}\r", "{}\r\n", "\ufeff{}", "\ufeff{}\r\n\r\n", "\n{}"])
def test_line_ends_and_byte_order_marks_are_no_part_of_a_secret(name: str, around: str) -> None:
    assert value_of(read({name.upper(): around.format(KEY)}), name) == KEY
    for encoding in ("utf-8", "utf-16", "utf-8-sig"):
        Path("secret").write_bytes(around.format(KEY).encode(encoding))
        assert value_of(read({f"{name.upper()}_FILE": "secret"}), name) == KEY


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\u201chush-hush\u201d", "left double quotation mark"),
        ("hush\u200bhush", "zero width space"),
        ("hush\ufeffhush", "zero width no-break space"),
        ("hush\xa0hush", "a no-break space"),
        ("hush\nhush", "a line end"),
        ("hush\thush", "a tab"),
        ("hush\x1bhush", "a control character (U+001B)"),
        ("ключ-ключ", "a letter or sign beyond ASCII"),
        ("hush\u2013hush", "en dash"),
        ("hush\U0001f511hush", "a letter or sign beyond ASCII"),
        ("   ", "nothing but blanks"),
        ("\n", "nothing but blanks"),
        ('"hush-hush"', "it stands in quotes"),
        ("'hush-hush'", "it stands in quotes"),
        ("hush\udcffhush", "not UTF-8"),
    ],
)
def test_what_no_header_carries_is_refused_with_what_it_is(name: str, text: str, reason: str) -> None:
    message = refusal({name.upper(): text})
    assert message.startswith(f"{name.upper()} (environment) cannot be used: ") and reason in message
    assert "hush" not in message and "ключ" not in message


@pytest.mark.parametrize("name", sorted(TOKENS))
@pytest.mark.parametrize("front", ["Bearer ", "token ", "Authorization: Token ", "Basic "])
def test_what_stands_in_front_of_a_token_is_named(name: str, front: str) -> None:
    message = refusal({name.upper(): front + KEY})
    assert "write the token alone" in message and KEY not in message


def test_a_password_keeps_its_blanks_and_letters_of_latin_1() -> None:
    assert value_of(read({"BASIC_AUTH_PASS": " pässwort mit blank \r\n"}), "basic_auth_pass") == " pässwort mit blank "
    assert value_of(read({"ADMIN_TOKEN": "clé secrète"}), "admin_token") == "clé secrète"
    assert "LABEL_STUDIO_API_KEY" in refusal({"LABEL_STUDIO_API_KEY": "clé-secrète"})
    assert "colon" in refusal({"BASIC_AUTH_USER": "me:you"})


def test_an_empty_text_is_no_value_and_hides_that_of_the_file(tmp_path: Path) -> None:
    Path(".env").write_text(f"PORT=1234\nADMIN_TOKEN={KEY}\nLABEL_STUDIO_URL=http://studio:8080\n")
    found = read({"PORT": "", "ADMIN_TOKEN": "", "DATA_DIR": "", "LABEL_STUDIO_URL": "", "ADMIN_TOKEN_FILE": ""})
    assert (found.port, value_of(found, "admin_token"), found.label_studio_url) == (9090, "", "")
    assert found.data_dir == Path(".understudy"), "and not the working directory"


# Files


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_file_that_cannot_be_read_is_named_and_nothing_else_is_shown(name: str, tmp_path: Path) -> None:
    others = {"ADMIN_TOKEN": "hush-admin", "WEBHOOK_SECRET": "hush-hook", "REDIS_URL": "redis://:hush-redis@127.0.0.1"}
    others.pop(name.upper(), None)
    path = tmp_path / "a file"
    path.write_bytes("hüsh\n".encode("latin-1"))
    empty = tmp_path / "empty"
    empty.write_bytes(b"\xef\xbb\xbf \r\n")
    long = tmp_path / "long"
    long.write_bytes(b"x" * 70_000)
    wrong = {
        path: "not UTF-8",
        empty: "is empty",
        long: "no secret",
        tmp_path: "a directory",
        tmp_path / "gone": "No such",
    }
    wrong |= {
        Path("/dev/zero"): "cannot be used",
        Path("~nobody-like-it/x"): "no home directory",
        Path("$HOME/x"): "nothing fills",
    }
    for file, reason in wrong.items():
        message = refusal({**others, f"{name.upper()}_FILE": str(file)})
        assert message.startswith(f"{name.upper()}_FILE (environment) cannot be used: ") and reason in message
        assert "hush" not in message


def test_a_secret_file_is_found_at_home_and_may_be_named_in_the_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key").write_text(KEY + "\r\n")
    Path(".env").write_text("LABEL_STUDIO_API_KEY_FILE=~/key\r\n")
    assert value_of(read({}), "label_studio_api_key") == KEY
    assert value_of(read({"LABEL_STUDIO_API_KEY": "b1" * 20}), "label_studio_api_key") == "b1" * 20


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_an_env_file_may_be_in_any_encoding_that_says_so(encoding: str, end: str) -> None:
    text = end.join(["# Schlüssel", "", f"ADMIN_TOKEN={KEY}", "PORT='1234'", "BASIC_AUTH_PASS=pässwort", ""])
    data = b"\xff\xfe" + text.encode("utf-16-le") if encoding == "utf-16-le-bom" else text.encode(encoding)
    Path(".env").write_bytes(data)
    found = read({})
    assert (found.port, value_of(found, "admin_token"), value_of(found, "basic_auth_pass")) == (1234, KEY, "pässwort")


def test_an_env_file_in_another_encoding_is_refused_at_the_line_that_counts() -> None:
    Path(".env").write_bytes("# Schlüssel\n\nADMIN_TOKEN=abcdefgh\n".encode("latin-1"))
    assert value_of(read({}), "admin_token") == "abcdefgh", "a comment harms nobody"
    Path(".env").write_bytes("# Schlüssel\n\nADMIN_TOKEN=hüsh\n".encode("latin-1"))
    message = refusal({})
    assert message.startswith("ADMIN_TOKEN (.env, line 3) cannot be used: it holds bytes that are not UTF-8")
    assert "sh" not in message.split("used:")[1].replace("holds", "")


@pytest.mark.parametrize("line", ['ADMIN_TOKEN="hush-hush', "ADMIN_TOKEN hush-hush", "export ADMIN_TOKEN: hush-hush"])
def test_a_line_of_the_env_file_that_cannot_be_read_is_not_passed_over(line: str) -> None:
    Path(".env").write_text(f"PORT=1\n\n{line}\nHOST=127.0.0.1\n")
    message = refusal({})
    assert ".env, line 3" in message and "ADMIN_TOKEN" in message and "hush" not in message


def test_an_env_file_that_is_none_is_named(tmp_path: Path) -> None:
    Path(".env").mkdir()
    assert "an empty directory" in refusal({})
    Path(".env/pyvenv.cfg").touch()
    assert read({}).port == 9090, "a virtual environment may be called so"
    Path(".env/pyvenv.cfg").unlink()
    Path(".env").rmdir()
    Path(".env").symlink_to("gone")
    assert "a link to a file that is not there" in refusal({})
    Path(".env").unlink()
    if os.getuid():
        Path(".env").touch(0)
        assert ".env cannot be read: Permission denied" in refusal({})


# Addresses

UNESCAPED = (
    *("tea@Chimney/smoke#9", "tea/Chimney", "tea#Chimney", "tea?Chimney", "tea%Chimney", "tea Chimney", "tea:Chimney"),
    *("tea@Chimney", "Chimney\u0436", "tea[Chimney]", "9/Chimney@x", "5#Chimney", "6379/0?Chimney=1@x", "tea\\Chimney"),
)


@pytest.mark.parametrize("password", UNESCAPED)
@pytest.mark.parametrize(
    "form",
    [
        "redis://:{}@127.0.0.1:6390/5",
        "redis://user:{}@host",
        "rediss://:{}@host:6390/5",
        "redis+sentinel://:{}@a:1,b:2/mine/0",
        "redis+sentinel://a:1,b:2/mine/0?sentinel_password={}",
        "unix://:{}@/tmp/redis.sock?db=0",
        "redis://{}@host:6390",
    ],
)
def test_a_password_that_is_not_escaped_is_refused_without_a_part_of_it(form: str, password: str) -> None:
    if form.startswith("redis://{}") and ":" in password:
        pytest.skip("a user and a password")
    if "?" in form.partition("{")[0] and set(password) & set("/:"):
        pytest.skip("stand for themselves there")
    message = refusal({"REDIS_URL": form.format(password)})
    assert message.startswith("REDIS_URL (environment) cannot be used: it is no address")
    assert "%40" in message and "chimney" not in message.lower() and "tea" not in message


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1",
        "redis://understudy:p%40ss%2Fw%3Ard%231@127.0.0.1:6390/0",
        "redis://:a-b.c_d~e!f$g&h'(i)*+,;=@[::1]:6379/1?protocol=3",
        "rediss://host.example.org:6380/0?ssl_cert_reqs=required&ssl_ca_certs=/etc/x.pem",
        "unix:///tmp/a b/redis.sock?db=0",
        "unix://me:p%40ss@/tmp/redis.sock?db=0",
        "redis+sentinel://me:p@a:26379,b/mine/0?sentinel_password=p%40",
        "rediss+sentinel://a,b/mine",
    ],
)
def test_an_address_that_is_escaped_is_taken_whatever_ends_the_line(url: str) -> None:
    assert read({"REDIS_URL": f"\ufeff{url}\r\n"}).redis_url == url


@pytest.mark.parametrize("name", ["PUBLIC_URL", "LABEL_STUDIO_URL", "TEACHER_URL"])
@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("myhost:9090", "write 'http://myhost:9090'"),
        ("myhost", "write 'http://myhost'"),
        ("127.0.0.1:9090/", "write 'http://127.0.0.1:9090'"),
        ("//myhost:9090", "write 'http://myhost:9090'"),
        ("htp://myhost:9090", "write 'http://myhost:9090'"),
        ("http:/myhost:9090", "write 'http://myhost:9090'"),
        ("http:myhost", "write 'http://myhost'"),
        ("http//myhost", "write 'http://myhost'"),
        ("https//myhost/", "write 'https://myhost'"),
        ("http:\\\\myhost", "write 'http://myhost'"),
        ("ftp://myhost", "write 'http://myhost'"),
        ("http://", "has no host"),
        ("http:///x", "has no host"),
        ("http://my host:9090", "a blank at character 10"),
        ("http://myhost:9090/a b", "a blank"),
        ("http://myhost:90900", "host:port"),
        ("http://myhost:port", "host:port"),
        ("http://myhost:9090?x=1", "write 'http://myhost:9090'"),
        ("http://myhost:9090/#top", "write 'http://myhost:9090'"),
        ("http://::1:9090", "stands in brackets"),
        ("http://[::g]:9090", "no IPv6 address"),
        ("http://myhost\u200b:9090", "zero width space"),
        ("\u201chttp://myhost\u201d", "left double quotation mark"),
        ("http://me:Chimney@myhost:9090/", "write 'http://myhost:9090"),
        ("http://me:Chim/ney@myhost:9090", "write 'http://myhost:9090'"),
        ("me:Chimney@myhost:9090", "write 'http://myhost:9090'"),
    ],
)
def test_what_is_no_url_is_refused_with_what_to_write(name: str, text: str, advice: str) -> None:
    message = refusal({name: text})
    assert message.startswith(f"{name} (environment) cannot be used: ") and advice in message
    assert "Chim" not in message and "ney@" not in message


def test_urls_lose_what_does_not_belong_to_them() -> None:
    for text in ("http://a.b:1/", " HTTP://a.b:1\r\n", '"http://a.b:1//"', "\ufeffhttp://a.b:1"):
        assert read({"PUBLIC_URL": text, "LABEL_STUDIO_URL": text}).url == "http://a.b:1"
    assert read({"LABEL_STUDIO_URL": "https://a.b/label-studio/"}).label_studio_url == "https://a.b/label-studio"
    assert read({"PUBLIC_URL": "http://[::1]:9090"}).url == "http://[::1]:9090"
    assert "write 'http://a:8080/studio'" in refusal({"LABEL_STUDIO_URL": "http://a:8080/studio/projects/7/data"})
    assert "write 'http://a:8080'" in refusal({"LABEL_STUDIO_URL": "http://a:8080/user/account"})
    assert "write 'http://a:9090'" in refusal({"PUBLIC_URL": "http://a:9090/webhook"})
    for url in ("https://openrouter.ai/api/v1", "http://[::1]:3000/api/chat/completions"):
        assert read({"TEACHER_URL": f"{url}/", "TEACHER_MODEL": "m"}).teacher_url == url
    assert "TEACHER_KEY" in refusal({"TEACHER_URL": "https://me:hush@a.b/v1"})


# Paths


@pytest.mark.parametrize("name", ["DATA_DIR", "BASE_MODEL", "REDIS_CA_FILE"])
def test_the_tilde_is_the_home_directory_in_every_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(getattr(read({name: "~/x y\r\n"}), name.lower())) == f"{tmp_path}/x y"
    Path(".env").write_text(f"{name}=~/z\n")
    assert str(getattr(read({}), name.lower())) == f"{tmp_path}/z"
    assert str(getattr(read({name: "~root"}), name.lower())) == os.path.expanduser("~root") != "~root"
    assert "no home directory" in refusal({name: "~nobody-like-it/x"})
    assert "nothing fills in the variable" in refusal({name: "$HOME/x"})
    assert "nothing fills in the variable" in refusal({name: "${HOME}/x"})


def test_the_tilde_is_the_home_directory_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    result = CliRunner().invoke(main, ["status", "--data-dir=~/x"])
    assert result.exit_code == 1 and str(tmp_path / "home" / "x") in result.output.replace("\n", "")
    assert not list(tmp_path.rglob("~"))


# Webhooks


def test_webhooks_are_told_with_a_secret_of_their_own() -> None:
    given = read({"NOTIFY_URL": "https://a.example/x?key=1, http://b:8080/y", "NOTIFY_SECRET": f"{HOOK}\n"})
    assert given.notify_url == "https://a.example/x?key=1,http://b:8080/y"
    assert value_of(given, "notify_secret") == HOOK
    assert "hush" not in repr(read({"NOTIFY_URL": "https://a/hush", "NOTIFY_SECRET": HOOK}))


@pytest.mark.parametrize(
    ("url", "secret", "said"),
    [
        ("https://a/hush", "", "must be signed"),
        ("https://a/hush", "hush-hush-hush-hush-hush", "no whsec_ and base64"),
        ("https://a/hush", "whsec_aHVzaA==", "24 to 64 bytes"),
        ("https://a/hush", f"{HOOK} whsec_hush", "no whsec_ and base64"),
        ("ftp://a/hush", HOOK, "begins with https://"),
        ("https://me:hush@a/x", HOOK, "no user and no password"),
        ("https://a:hush/x", HOOK, "host:port"),
        ("https://a/hush#x", HOOK, "no fragment"),
        ("https://a/hüsh", HOOK, "beyond ASCII"),
    ],
)
def test_a_webhook_that_cannot_be_used_is_refused_without_what_may_be_secret(url: str, secret: str, said: str) -> None:
    message = refusal({"NOTIFY_URL": url, "NOTIFY_SECRET": secret})
    assert said in message and "hush" not in message and "hüsh" not in message


def test_who_names_a_teacher_says_which_model() -> None:
    message = refusal({"TEACHER_URL": "http://llm:11434/v1", "TEACHER_MODEL": " "})
    assert message.startswith("TEACHER_MODEL") and "TEACHER_URL is set: name the model" in message


NUMBERS = sorted(name for name, field in Settings.model_fields.items() if field.annotation in (int, float))
HUGE = ("nan", "inf", "-inf", "1e999", "1e308", "-1e308", "9" * 30)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_has_bounds_and_is_refused_in_our_words(name: str) -> None:
    for text in HUGE:
        message = refusal({name.upper(): text})
        assert message.startswith(name.upper()) and "Input should" not in message, message
        assert re.search(r"a (whole )?number( (of|above|below) [\d.,]+( or (more|less))?)? is needed$", message), (
            message
        )
    assert getattr(read({name.upper(): ""}), name) == Settings.model_fields[name].default


# Whatever it is


@pytest.mark.parametrize("name", sorted(SECRETS))
@given(secret=ANYTHING)
@IN_PLACE
def test_no_secret_is_ever_seen_in_what_is_said_of_settings(name: str, secret: str) -> None:
    process_redactor.cache_clear()
    environ = {name.upper(): secret, "PORT": "no number"}
    with pytest.raises(SettingsError) as refused:
        read(environ)
    shown = refused.value.message + repr(refused.value) + repr(refused.value.evidence)
    assert secret not in shown and secret.strip() not in shown
    assert repr(secret)[1:-1] not in shown and ascii(secret)[1:-1] not in shown


@pytest.mark.parametrize("name", sorted(set(Settings.model_fields) - SECRETS - {"host", "seed"}))
@given(text=ANYTHING, secret=PLAIN)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_malformed_setting_is_named_and_shows_no_other(name: str, text: str, secret: str) -> None:
    environ = {name.upper(): text, "ADMIN_TOKEN": secret, "WEBHOOK_SECRET": secret[::-1]}
    try:
        read(environ)
    except SettingsError as error:
        assert len(re.findall(rf"\b{name.upper()}\b", error.message)) == 1, "told twice"
        assert secret not in error.message and secret[::-1] not in error.message


WRONG = (
    "no such value",
    "-1",
    "1e999",
    "'x",
    "'x'",
    "$x/y",
    "~nobody-here/x",
    "x://y",
    "http://a b",
    "Bearer x",
    "\u201cx",
    "x:y",
)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_refused_setting_is_named_once(name: str) -> None:
    told = []
    for text in WRONG:
        with contextlib.suppress(SettingsError):
            read({name.upper(): text})
            continue
        told.append(refusal({name.upper(): text}))
    assert [message for message in told if len(re.findall(rf"\b{name.upper()}\b", message)) != 1] == []
    assert told or name in ("seed", "host", "failpoint", "base_model", "file_roots", "teacher_model"), (
        "nothing is wrong for it"
    )
