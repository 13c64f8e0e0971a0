"""Control groups: where they are, and the words of version 2, on a folder that looks like one.

That the kernel does what the words say is seen by ``tests/programs/on_version_2.sh``, which boots one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rota.programs import cgroup
from rota.programs.ask import MIB, Limits


def test_groups_are_found_in_both_layouts() -> None:
    mounts = (
        "25 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "27 25 0:24 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "28 25 0:25 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
        "29 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    )
    text = "4:pids:/\n3:memory:/docker/abc/inner\n2:cpu,cpuacct:/a\n0::/b.slice/c\n"
    old, new = cgroup.places(text, mounts)
    assert old == cgroup.Place(
        1,
        {
            "cpu": "/sys/fs/cgroup/cpu,cpuacct/a",
            "cpuacct": "/sys/fs/cgroup/cpu,cpuacct/a",
            "memory": "/sys/fs/cgroup/memory/inner",
            "pids": "/sys/fs/cgroup/pids",
        },
    )
    assert new == cgroup.Place(
        2, dict.fromkeys(("memory", "pids", "cpu"), "/sys/fs/cgroup/unified/b.slice/c")
    )


def test_a_server_that_moved_into_a_group_of_its_own_has_its_jobs_beside_it() -> None:
    mounts = "29 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    for path, folder in (
        ("/a/rota-server", "/a"),
        ("/rota-server", ""),
        ("/a/rota-servers", "/a/rota-servers"),
    ):
        (place,) = cgroup.places(f"0::{path}\n", mounts)
        assert place.folders["memory"] == f"/sys/fs/cgroup{folder}"


@pytest.fixture
def service(tmp_path: Path) -> cgroup.Place:
    (tmp_path / "cgroup.controllers").write_text("cpu io memory pids\n")
    (tmp_path / "cgroup.subtree_control").touch()
    (tmp_path / "cgroup.procs").touch()
    return cgroup.Place(2, dict.fromkeys(("memory", "pids", "cpu"), str(tmp_path)))


def test_version_2_is_prepared_by_switching_controllers_on(service: cgroup.Place) -> None:
    folder = Path(service.folders["memory"])
    assert cgroup.prepare(service) is None
    assert (folder / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    (folder / "cgroup.controllers").write_text("hugetlb pids")
    assert cgroup.prepare(service) == f"version 2 has no memory controller in {folder}"
    (folder / "cgroup.controllers").unlink()
    assert cgroup.prepare(service) == f"{folder}: No such file or directory"


FILES = (
    "memory.max",
    "memory.swap.max",
    "memory.oom.group",
    "pids.max",
    "cpu.max",
    "cgroup.procs",
    "cgroup.kill",
)


def test_version_2_is_limited_and_read_by_its_own_words(service: cgroup.Place) -> None:
    group = cgroup.Group(service, "one")
    group.make()
    (folder,) = group.folders
    for name in FILES:
        (folder / name).touch()
    group.limit(Limits(memory=64 * MIB, processes=10, cpus=0.5))
    group.join()
    group.kill()
    assert {name: (folder / name).read_text() for name in FILES} == {
        "memory.max": str(64 * MIB),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "12",
        "cpu.max": "50000 100000",
        "cgroup.procs": "0",
        "cgroup.kill": "1",
    }
    (folder / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (folder / "memory.peak").write_text("123\n")
    (folder / "memory.events").write_text("low 0\nmax 7\noom 1\noom_kill 0\n")
    (folder / "pids.events").write_text("max 0\n")
    assert (group.cpu_seconds(), group.peak_memory()) == (1.5, 123)
    assert not group.out_of_memory()
    assert not group.forks_refused()
    (folder / "memory.events").write_text("oom_kill 2\noom_group_kill 1\n")
    (folder / "pids.events").write_text("max 3\n")
    assert group.out_of_memory()
    assert group.forks_refused()


def test_an_older_kernel_has_no_peak_and_no_swap(service: cgroup.Place) -> None:
    group = cgroup.Group(service, "one")
    group.make()
    for name in ("memory.max", "pids.max"):
        (group.folders[0] / name).touch()
    group.limit(Limits())
    assert group.peak_memory() is None
    (group.folders[0] / "pids.max").unlink()
    with pytest.raises(FileNotFoundError):
        group.limit(Limits())


def test_groups_are_made_all_or_none(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    place = cgroup.Place(1, {"memory": str(tmp_path / "a"), "pids": str(tmp_path / "not there")})
    with pytest.raises(FileNotFoundError):
        cgroup.Group(place, "one").make()
    assert not list((tmp_path / "a").iterdir())
