"""The built wheel works without a checkout: one package, which brings its migrations and its lexicon along."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import Distribution, packages_distributions
from pathlib import Path

import pytest

from service.schema.migrate import newest
from tests.service.command_line import environment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages of an environment with the wheel and what it needs, but not with src/."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    venv.create(folder / "env", with_pip=False)
    (site,) = (folder / "env" / "lib").glob("python3*/site-packages")
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    # A path in a .pth file is not searched for further .pth files: src/ stays out.
    (site / "needed.pth").write_text(sysconfig.get_path("purelib"))
    return site


def python(site: Path, code: str, *args: str, data: Path) -> str:
    """Run code there, from a folder that is no checkout."""
    program = site.parents[2] / "bin" / "python"
    command = [program, "-c", code, *args]
    done = subprocess.run(
        command, cwd=data, env=environment({"DATA": data}), check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_wheel_installs_one_package(site: Path) -> None:
    installed = {path.name for path in site.iterdir()} - {"needed.pth", "__pycache__"}
    assert {name.partition("-")[0] for name in installed} == {"mastertape"}


def test_wheel_migrates_an_empty_database_and_a_package_of_the_same_name_does_not_replace_ours(
    site: Path, tmp_path: Path
) -> None:
    stranger = site / "identity.py"
    stranger.write_text("raise SystemExit('a stranger')")
    try:
        main = "from mastertape import main; main()"
        assert python(site, main, "migrate", data=tmp_path) == f"empty -> {newest()}"
    finally:
        stranger.unlink()
    assert (tmp_path / "mastertape.db").exists()


def test_no_dependency_ships_a_name_of_ours() -> None:
    ours = {path.name for path in (ROOT / "src").iterdir()} - {"mastertape"}
    assert not ours & set(packages_distributions()) - {"__pycache__"}


def test_wheel_is_what_runs_and_has_the_lexicon(site: Path, tmp_path: Path) -> None:
    code = "import mastertape; from outbox.record import kind; print(kind.__file__, *sorted(kind.known_lexicons()))"
    where, lexicons = python(site, code, data=tmp_path).split(maxsplit=1)
    assert where.startswith(str(site))
    assert (
        lexicons
        == "com.atproto.repo.strongRef fm.plyr.actor.profile fm.plyr.comment fm.plyr.like fm.plyr.list fm.plyr.track"
    )


def test_wheel_names_its_command(site: Path) -> None:
    (info,) = site.glob("mastertape-*.dist-info")
    (script,) = Distribution.at(info).entry_points
    assert (script.name, script.value) == ("mastertape", "mastertape:main")
