"""A name proves that its process has ended on one machine and in one PID namespace alone; else it proves nothing."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstore.coordination import process_names
from eventstore.coordination.process_names import has_ended, process_name
from tests.waits import until

SAYS_ITS_NAME = (
    "from eventstore.coordination.process_names import process_name; print(process_name(), flush=True);"
)
PROGRAM = f"{SAYS_ITS_NAME} input()"
WITHOUT_FIRST_THREAD = (
    "import ctypes, sys, threading; threading.Thread(target=sys.stdin.read).start(); "
    f"{SAYS_ITS_NAME} ctypes.CDLL(None).pthread_exit(None)"
)
OTHER_NAMESPACE = ("unshare", "--user", "--map-root-user", "--pid", "--mount-proc", "--fork", "--kill-child")

pytestmark = pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="needs Linux")


class Other:
    def __init__(self, *wrapper: str, program: str = PROGRAM) -> None:
        command = [*wrapper, sys.executable, "-c", program]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, **pipes)
        assert self.process.stdout is not None
        self.name = self.process.stdout.readline().strip()

    @property
    def state(self) -> str:
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def other() -> Iterator[Other]:
    made = Other()
    yield made
    made.process.kill()
    made.process.communicate()


def changed(name: str, **parts: str) -> str:
    names = ("place", "pid", "started", "unique")
    return ".".join(({**dict(zip(names, name.split("."), strict=True)), **parts}).values())


def test_a_running_process_has_not_ended(other: Other) -> None:
    assert not has_ended(other.name)
    assert not has_ended(process_name())


def test_a_stopped_process_has_not_ended(other: Other) -> None:
    other.process.send_signal(signal.SIGSTOP)
    until(lambda: other.state == "T")
    assert not has_ended(other.name)


def test_a_killed_process_has_ended_before_and_after_its_parent_knows(other: Other) -> None:
    other.process.kill()
    until(lambda: other.state == "Z")
    assert has_ended(other.name)
    other.process.wait()
    assert has_ended(other.name)


def test_a_process_whose_id_another_one_has_now_has_ended(other: Other) -> None:
    assert has_ended(changed(other.name, started="1"))


def test_a_zombie_of_which_a_thread_still_runs_has_not_ended() -> None:
    other = Other(program=WITHOUT_FIRST_THREAD)
    until(lambda: other.state == "Z")
    assert not has_ended(other.name)
    other.process.communicate()
    assert has_ended(other.name)


def test_nothing_is_proved_of_a_process_elsewhere(other: Other) -> None:
    other.process.kill()
    other.process.wait()
    assert not has_ended(changed(other.name, place="0" * 16))
    assert not has_ended("relay-1")


def test_nothing_is_proved_of_a_process_in_another_container() -> None:
    """The same boot, but another PID namespace."""
    if subprocess.run([*OTHER_NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs unprivileged namespaces")
    other = Other(*OTHER_NAMESPACE)
    assert other.name.count(".") == 3
    other.process.kill()
    other.process.communicate()
    assert not has_ended(other.name)


def test_where_nothing_is_known_of_processes_names_prove_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, other: Other
) -> None:
    other.process.kill()
    other.process.wait()
    monkeypatch.setattr(process_names, "_PROC", tmp_path)
    assert "." not in process_name()
    assert not has_ended(other.name)


def test_the_proc_of_another_pid_namespace_proves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "self").symlink_to("1")
    monkeypatch.setattr(process_names, "_PROC", tmp_path)
    assert "." not in process_name()


def test_names_are_unique_within_a_process() -> None:
    assert process_name() != process_name()
