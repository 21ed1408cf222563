"""`hil doctor`: what would keep a run from working is found, graded, and comes with what to do."""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from hil.bench.file import BenchFile
from hil.bench.locks import DeviceLock
from hil.bench.preflight import CHECKS, Level, Scene, bench, examine, linux, mac, software
from hil.cli import group, main
from hil.cli.doctor import Witness, installed
from hil.copy import EngineDevice
from hil.discovery import discover
from hil.errors import BenchFault, NotCaptured
from hil.hosts import LogLine
from hil.hosts.machine import MachineProcess
from hil.hosts.simulated import SimulatedHost
from hil.model import GIB, MIB, Domain, HostFacts, Inventory
from hil.pci.tinygpu import socket_path
from hil.sim import profile
from hil.sim.machine import Machine
from tests.files_host import FilesHost, refused
from tests.machine_host import MachineHost
from tests.tree_host import answered

GOOD = {
    "allure-pytest": "2.15.0",
    "pytest-benchmark": "5.1.0",
    "pyopencl": "2024.1",
    "nvidia-ml-py": "12.560.30",
    "pyusb": "1.3.0",
    "pyserial": "3.5",
    "pytest": "9.2.0",
    "pip": "25.1",
}
NODE = {"node": answered("v22.11.0\n"), "npm": answered("{}")}
EXTENSIONS = (
    "1 extension(s)\n--- com.apple.system_extension.driver_extension\n"
    "enabled\tactive\tteamID\tbundleID (version)\tname\t[state]\n"
)
MACHINE_TOML = """
summary = "for the doctor"
[host]
system = "{system}"
model = "Desk"
os_version = "{version}"
driver_version = "1.0"
{host}
[[enclosure]]
name = "Dock"
vendor = "Lab"
vendor_id = 1
device_id = 2
uid = "00d4174024640001"
kind = "usb4"
lane_gbps = 20.0
lanes = 2
{enclosure}
[[gpu]]
name = "NVIDIA GeForce RTX 4080"
device_id = 0x2704
uuid = "GPU-3c1f6a52-8d0e-4b7a-9a51-2f64e0c71b08"
enclosure = "Dock"
vram_mib = 256
h2d_gb_s = 3.0
d2h_gb_s = 3.0
"""


@pytest.fixture(scope="module")
def two_gpus():
    return discover(MachineHost(Machine(profile.load("linux-two-enclosures"))))


@pytest.fixture
def scene(tmp_path, two_gpus):
    def make(host=None, inventory=two_gpus, **changes):
        values = {
            "host": host or FilesHost(),
            "inventory": inventory,
            "here": FilesHost(commands=NODE),
            "packages": GOOD,
            "python": (3, 12, 1),
            "project": tmp_path,
            "scratch": tmp_path,
            "scratch_free": 10 * GIB,
            "lock_folder": tmp_path / "locks",
            **changes,
        }
        return Scene(**values)

    return make


@pytest.fixture
def mac_scene(scene, two_gpus):
    def make(state="activated enabled", *, arch="arm64", version="26.1", gpus=True, **changes):
        line = f"*\t*\tTEAM\t{mac.EXTENSION} (1.0/1)\tTinyGPU\t[{state}]\n" if state else ""
        ours, theirs = socket.socketpair()
        theirs.close()
        host = FilesHost(
            system="Darwin",
            files={f"{mac.APP}/Contents/MacOS/TinyGPU": b""},
            commands={"systemextensionsctl": answered(EXTENSIONS + line)},
            sockets={socket_path(): ours},
        )
        facts = HostFacts(system="Darwin", arch=arch, os_version=version, model="Mac")
        inventory = Inventory(host=facts, gpus=two_gpus.gpus if gpus else ())
        return scene(changes.pop("host", host), inventory, **changes)

    return make


def told(findings, *levels):
    return [(f.check, f.level, f.sentence, f.todo) for f in findings if f.level in (levels or tuple(Level))]


def only(findings):
    (finding,) = findings
    return finding


# Software -------------------------------------------------------------------------------------------------------------


def test_a_good_environment_has_nothing_to_be_done(scene):
    findings = [f for name, check in CHECKS.items() if name.startswith("software.") for f in check(scene())]
    assert {f.level for f in findings} == {Level.OK}
    assert len(findings) == 8


def test_an_old_python_must_be_replaced(scene):
    assert only(software.python(scene(python=(3, 10, 4)))).level is Level.MUST


def test_each_missing_package_is_advice_with_the_command_that_installs_it(scene):
    findings = list(software.optional_packages(scene(packages={})))
    assert [f.level for f in findings] == [Level.ADVICE] * 6
    assert findings[0].todo == "pip install 'allure-pytest>=2.15'"
    assert all(f.todo.startswith("pip install '") for f in findings)


def test_nvml_is_not_missed_on_a_mac(mac_scene):
    assert "software.nvidia-ml-py" not in {f.check for f in software.optional_packages(mac_scene(packages={}))}


@pytest.mark.parametrize(
    ("packages", "checks"),
    [
        ({"pytest": "9.2.0", "pytest-xdist": "3.8.0"}, ["software.pytest-xdist"]),
        ({"pytest": "9.1.1", "pytest-xdist": "3.8.0"}, []),
        ({"pytest": "9.2.0", "pytest-xdist": "3.9.0"}, []),
        (
            {"pytest": "9.2.0", "pytest-forked": "1.6", "pytest-isolate": "0.0.12"},
            ["software.pytest-forked", "software.pytest-isolate"],
        ),
        ({"pytest": "8.4", "pytest-forked": "1.6"}, []),
    ],
)
def test_plugins_that_are_bad_with_this_pytest_are_told(scene, packages, checks):
    findings = list(software.plugins(scene(packages=packages)))
    assert [f.check for f in findings] == checks
    assert all(f.level is Level.ADVICE and f.todo for f in findings)


def test_a_package_that_only_has_nvmls_name_is_told(scene):
    assert "nvidia-ml-py" in only(software.pynvml(scene(packages={"pynvml": "12.0"}))).todo
    assert list(software.pynvml(scene())) == []


@pytest.mark.parametrize(("version", "count"), [("23.2.1", 1), ("25.0", 1), ("25.1", 0), ("26.3", 0), ("dev", 1)])
def test_a_pip_without_groups_is_told(scene, version, count):
    assert len(list(software.pip(scene(packages={"pip": version})))) == count


@pytest.mark.parametrize(
    ("answer", "level", "word"),
    [
        (answered("v22.0.0\n"), Level.OK, "Node v22.0.0"),
        (answered("v20.20.2\n"), Level.ADVICE, "quality gate needs 22"),
        (answered("v18.19.0\n"), Level.ADVICE, "too old to generate"),
        (answered("", status=1), Level.ADVICE, "did not tell its version"),
        (None, Level.ADVICE, "not installed"),
    ],
)
def test_node_is_judged_by_what_it_can_do(scene, answer, level, word):
    here = FilesHost(commands={} if answer is None else {"node": answer})
    finding = only(software.node(scene(here=here)))
    assert finding.level is level
    assert word in finding.sentence


def test_two_packages_that_own_one_command_are_told_where_they_are(scene, tmp_path):
    both = answered(json.dumps({"dependencies": {"allure": {}, "allure-commandline": {}}}))
    here = FilesHost(
        commands={"node": NODE["node"], "npm": both},
        files={f"{tmp_path}/node_modules/{name}/package.json": b"" for name in ("allure", "allure-commandline")},
    )
    _, everywhere, project = software.node(scene(here=here))
    assert everywhere.todo == "npm uninstall --global allure-commandline"
    assert project.todo == "npm uninstall allure-commandline"


@pytest.mark.parametrize("npm", [answered("no json"), answered("[]"), FileNotFoundError(2, "no npm")])
def test_an_npm_that_lists_nothing_is_no_finding(scene, npm):
    assert len(list(software.node(scene(here=FilesHost(commands={"node": NODE["node"], "npm": npm}))))) == 1


def test_installed_packages_are_known_by_their_normalized_names():
    assert {"pytest", "pytest-benchmark", "hil"} <= installed().keys()


# A Mac ----------------------------------------------------------------------------------------------------------------


def test_a_mac_that_is_ready_has_nothing_to_be_done(mac_scene):
    checks = (mac.computer, mac.app, mac.extension, mac.server, mac.helpers)
    assert {f.level for check in checks for f in check(mac_scene())} == {Level.OK}


@pytest.mark.parametrize(
    ("arch", "version", "checks"),
    [
        ("x86_64", "26.1", [("mac.chip", Level.MUST), ("mac.macos", Level.OK)]),
        ("arm64", "12.7.1", [("mac.chip", Level.OK), ("mac.macos", Level.MUST)]),
        ("arm64", "", [("mac.chip", Level.OK), ("mac.macos", Level.ADVICE)]),
    ],
)
def test_a_mac_that_tinygpu_cannot_run_on_is_refused(mac_scene, arch, version, checks):
    assert [(f.check, f.level) for f in mac.computer(mac_scene(arch=arch, version=version))] == checks


@pytest.mark.parametrize(
    ("state", "word", "todo"),
    [
        ("activated waiting for user", "waits for your approval", "approve TinyGPU in System Settings"),
        ("terminated waiting to uninstall on reboot", "is being removed", "restart the Mac"),
        ("", "is not installed", "TinyGPU install`"),
        ("activated disabled", "is in state activated disabled", "expected is [activated enabled]"),
    ],
)
def test_every_state_of_the_extension_has_its_cure(mac_scene, state, word, todo):
    finding = only(mac.extension(mac_scene(state)))
    assert finding.level is Level.MUST
    assert word in finding.sentence
    assert todo in finding.todo
    assert only(mac.extension(mac_scene(state, gpus=False))).level is Level.ADVICE


def test_a_new_extension_counts_beside_an_old_one_that_waits_to_go(mac_scene):
    both = "\n".join(
        f"\t\tT\t{mac.EXTENSION} (1/1)\tT\t[{s}]" for s in ("terminated waiting to uninstall", "activated enabled")
    )
    host = FilesHost(system="Darwin", commands={"systemextensionsctl": answered(EXTENSIONS + both)})
    assert only(mac.extension(mac_scene(host=host))).level is Level.OK


@pytest.mark.parametrize("answer", [answered("", status=64), answered("", status=None)])
def test_an_extension_list_that_fails_is_advice(mac_scene, answer):
    host = FilesHost(system="Darwin", commands={"systemextensionsctl": answer})
    assert only(mac.extension(mac_scene(host=host))).level is Level.ADVICE


def test_a_missing_app_and_server_must_be_put_there(mac_scene):
    bare = mac_scene(host=FilesHost(system="Darwin"))
    assert only(mac.app(bare)).level is Level.MUST
    server = only(mac.server(bare))
    assert server.level is Level.MUST
    assert server.todo == f"run `{mac.SERVER} server {socket_path()}`"


def test_a_command_that_was_killed_at_its_deadline_means_a_wedged_host(scene):
    host = FilesHost(system="Darwin", commands={"ioreg": answered("", status=None), "sw_vers": answered("26")})
    witness = Witness(host)
    witness.run(["ioreg", "-a"], timeout=1)
    witness.run(["sw_vers"], timeout=1)
    assert witness.facts() == host.facts()
    finding = only(mac.helpers(scene(timed_out=witness.timed_out)))
    assert (finding.check, finding.level) == ("host.commands", Level.MUST)
    assert "`ioreg -a`" in finding.sentence


# Linux ----------------------------------------------------------------------------------------------------------------


def test_a_host_without_thunderbolt_is_told(scene):
    assert "modprobe thunderbolt" in only(linux.thunderbolt(scene())).todo
    empty = FilesHost(files={f"{linux.THUNDERBOLT}/0-0:1.1/vendor": b""})
    assert "no Thunderbolt / USB4 controller" in only(linux.thunderbolt(scene(empty))).sentence


def test_an_enclosure_that_is_not_authorized_comes_with_the_command_for_it(scene, two_gpus):
    routers = tuple(replace(r, authorized=0) if r.name == "0-1" else r for r in two_gpus.routers)
    host = FilesHost(files={f"{linux.THUNDERBOLT}/0-1/unique_id": b"d0070000-0062-8a0b-0000-000000000001\n"})
    first, second = linux.authorization(scene(host, replace(two_gpus, routers=routers)))
    assert first.level is Level.MUST
    assert first.todo == "boltctl enroll --policy auto d0070000-0062-8a0b-0000-000000000001"
    assert second.level is Level.OK


@pytest.mark.parametrize(
    ("driver", "level", "word"),
    [("nvidia", Level.OK, "nvidia"), ("", Level.MUST, "has no driver"), ("nouveau", Level.MUST, "nouveau has it")],
)
def test_the_driver_of_each_gpu_is_told(scene, two_gpus, driver, level, word):
    gpu = two_gpus.gpus[0]
    inventory = replace(two_gpus, gpus=(replace(gpu, function=replace(gpu.function, driver=driver)),))
    finding = only(linux.drivers(scene(inventory=inventory)))
    assert finding.level is level
    assert word in finding.sentence


@pytest.mark.parametrize(
    ("size", "allow", "level"),
    [(4096, False, Level.OK), (64, False, Level.ADVICE), (64, True, Level.MUST)],
)
def test_config_space_that_only_root_sees_matters_where_resets_are_allowed(scene, two_gpus, size, allow, level):
    host = FilesHost(files={f"/sys/bus/pci/devices/{two_gpus.gpus[0].function.address}/config": b"\0" * size})
    file = BenchFile.model_validate({"name": "d", "allow": {"reset": allow}})
    assert only(linux.config_space(scene(host, file=file))).level is level


def test_a_kernel_log_that_may_not_be_read_is_advice(scene):
    assert only(linux.kernel_log(scene(FilesHost(log=refused(errno.EPERM))))).level is Level.ADVICE
    assert only(linux.kernel_log(scene(FilesHost(log=[LogLine(time=1, text="x")])))).level is Level.OK


def test_a_domain_whose_memory_is_not_protected_is_advice(scene, two_gpus):
    domains = (Domain(name="domain0", iommu_dma_protection=False), Domain(name="domain1", iommu_dma_protection=True))
    assert "domain0" in only(linux.dma_protection(scene(inventory=replace(two_gpus, domains=domains)))).sentence


class Updated(SimulatedHost):
    """A host on which the driver was updated and the old one is still loaded."""

    def read(self, path):
        return b"570.1\n" if path == linux.DRIVER_VERSION else super().read(path)


def test_an_nvml_of_another_version_than_the_driver_needs_a_restart(scene, two_gpus):
    with contextlib.closing(MachineProcess("linux-two-enclosures")) as machine:
        with contextlib.closing(Updated(machine.address)) as host:
            finding = only(linux.nvml(scene(host, two_gpus)))
        with contextlib.closing(SimulatedHost(machine.address)) as host:
            assert only(linux.nvml(scene(host, two_gpus))).level is Level.OK
    assert (finding.level, finding.todo) == (Level.MUST, "restart the host")
    assert finding.sentence == "NVML is version 580.95.05, the loaded driver 570.1"


def test_without_a_driver_it_must_be_installed(no_node, tmp_path):
    path = tmp_path / "mine.toml"
    text = MACHINE_TOML.format(system="Linux", version="6.12", host="", enclosure="")
    path.write_text(text.replace('driver_version = "1.0"', ""))
    assert {"linux.driver", "linux.nvml"} <= dict(musts(doctor("--bench", f"sim:{path}", "--json"))).keys()


# The bench ------------------------------------------------------------------------------------------------------------


def offer(gpu):
    return EngineDevice(target="0", name=gpu.name, vram_bytes=24 * GIB, pci_address=gpu.function.address)


def test_an_enclosure_that_shows_no_function_has_lost_its_tunnel(scene, two_gpus):
    bare = tuple(replace(enclosure, functions=()) for enclosure in two_gpus.enclosures)
    nothing = replace(two_gpus, gpus=(), enclosures=bare)
    assert [f.level for f in bench.gpus(scene(inventory=nothing))] == [Level.ADVICE, Level.MUST, Level.MUST]
    one = replace(two_gpus, gpus=two_gpus.gpus[:1], enclosures=bare)
    ok, missing = bench.gpus(scene(inventory=one))
    assert (ok.level, missing.level) == (Level.OK, Level.ADVICE)
    assert "PCIe tunnel missing" in missing.sentence


def test_an_enclosure_without_gpu_and_problems_of_discovery_are_advice(scene, two_gpus):
    inventory = replace(two_gpus, gpus=(), problems=("Something could not be read.",))
    findings = list(bench.gpus(scene(inventory=inventory)))
    assert [f.check for f in findings] == ["bench.gpus", "bench.tunnel", "bench.tunnel", "bench.discovery"]
    assert {f.level for f in findings} == {Level.ADVICE}


def test_a_gpu_that_no_engine_opens_must_be_cured(scene, two_gpus):
    first, second = two_gpus.gpus
    findings = list(bench.engines(scene(offers={"opencl": [offer(first)]}, offer_problems=["engine x died"])))
    assert [f.level for f in findings] == [Level.ADVICE, Level.OK, Level.MUST]
    assert second.name in findings[2].sentence
    assert "asked: opencl" in findings[2].sentence


def test_on_a_capture_no_engine_is_missed(scene):
    assert list(bench.engines(scene(FilesHost(kind="captured")))) == []


def test_the_bench_file_is_held_against_what_is_there(scene, two_gpus):
    first, second = two_gpus.gpus
    file = BenchFile.model_validate(
        {
            "name": "d",
            "device": (
                {"alias": "good", "id": first.id, "expect": {"min_vram_mib": 1000}},
                {"alias": "gone", "id": "GPU-1"},
            ),
            "actuator": ({"kind": "simulated", "enclosure": "Core X"},),
        }
    )
    findings = list(bench.listed(scene(file=file, offers={"e": [offer(first)]})))
    assert [(f.check, f.level) for f in findings] == [
        ("bench.devices", Level.OK),
        ("bench.devices", Level.MUST),
        ("bench.devices", Level.ADVICE),
        ("bench.actuators", Level.ADVICE),
    ]
    assert second.name in findings[2].sentence


def test_a_lock_that_a_living_run_holds_names_it_and_one_left_by_a_dead_run_is_put_right_later(scene, tmp_path):
    folder = tmp_path / "locks"
    assert list(bench.locks(scene())) == []
    with DeviceLock.acquire("GPU-held", folder, {"user": "ann"}):
        dead = DeviceLock.acquire("GPU-left", folder, {"pid": 2**22 + 7, "state": {"detached": [{}]}})
        done = DeviceLock.acquire("GPU-done", folder, {"pid": 0})
        held, left = sorted(bench.locks(scene()), key=lambda f: f.sentence, reverse=True)[::-1]
        assert {held.level, left.level} == {Level.MUST, Level.ADVICE}
        must = held if held.level is Level.MUST else left
        assert "GPU-held is in use by" in must.sentence
        assert "of ann" in must.sentence
        dead.release()
        done.release()


@pytest.mark.parametrize(("free", "level"), [(MIB, Level.MUST), (500 * MIB, Level.ADVICE), (2 * GIB, Level.OK)])
def test_room_on_the_disk_is_judged(scene, free, level):
    assert only(bench.disk(scene(scratch_free=free))).level is level


# All together ---------------------------------------------------------------------------------------------------------


class Refusing(FilesHost):
    error: Exception

    def kernel_log(self, since=0.0):
        raise self.error

    def list(self, path):
        raise self.error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NotCaptured("list: not in desk.hil"), "not recorded: list: not in desk.hil"),
        (BenchFault("the far end is gone"), "could not be checked: the far end is gone"),
        (refused(errno.EIO), "could not be checked: [Errno 5]"),
    ],
)
def test_a_check_that_cannot_be_done_is_advice_and_never_an_error(scene, error, sentence):
    host = Refusing()
    host.error = error
    findings = {f.check: f for f in examine(scene(host))}
    for check in ("linux.thunderbolt", "host.kernel-log"):
        assert findings[check].level is Level.ADVICE
        assert sentence in findings[check].sentence


def test_every_finding_that_is_not_ok_says_what_to_do(scene, mac_scene):
    for found in (examine(scene(packages={}, scratch_free=0)), examine(mac_scene("", arch="x86_64", packages={}))):
        assert all(f.todo for f in found if f.level is not Level.OK)
        assert all(not f.todo for f in found if f.level is Level.OK)


@pytest.fixture
def no_node(monkeypatch):
    """Node and npm take longer than all the rest."""
    monkeypatch.setenv("PATH", "")


def doctor(*arguments):
    return CliRunner().invoke(group, ["doctor", *arguments], catch_exceptions=False)


def musts(result):
    facts = json.loads(result.output)
    return [(f["check"], f["todo"]) for f in facts["findings"] if f["level"] == "must"]


@pytest.mark.parametrize("name", ["linux-two-enclosures", "macbook-pro-usb4", "empty-linux", "empty-mac"])
def test_on_a_sound_machine_nothing_must_be_done(no_node, name):
    result = doctor("--bench", f"sim:{name}", "--json")
    assert (result.exit_code, musts(result)) == (0, [])
    facts = json.loads(result.output)
    assert (facts["bench"], facts["simulated"], facts["ok"]) == (f"sim:{name}", True, True)
    assert facts["findings"][0].keys() == {"check", "level", "sentence", "todo"}


@pytest.mark.parametrize(
    ("system", "version", "host", "enclosure", "check"),
    [
        ("Darwin", "26.1", 'extension = "activated waiting for user"', "", "mac.extension"),
        ("Darwin", "26.1", 'extension = ""', "", "mac.extension"),
        ("Darwin", "12.6", "", "", "mac.macos"),
        ("Darwin", "26.1", 'arch = "x86_64"', "", "mac.chip"),
        ("Linux", "6.12", "", "authorized = 0", "linux.authorization"),
    ],
)
def test_what_is_wrong_with_a_machine_is_seen_on_the_wire(no_node, tmp_path, system, version, host, enclosure, check):
    path = tmp_path / "mine.toml"
    path.write_text(MACHINE_TOML.format(system=system, version=version, host=host, enclosure=enclosure))
    result = doctor("--bench", f"sim:{path}", "--json")
    assert result.exit_code == 1
    assert check in dict(musts(result))


def test_an_enclosure_that_is_authorized_shows_its_gpu_at_last(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(MACHINE_TOML.format(system="Linux", version="6.12", host="", enclosure="authorized = 0"))
    with (
        contextlib.closing(MachineProcess(str(path))) as machine,
        contextlib.closing(SimulatedHost(machine.address)) as host,
    ):
        assert discover(host).gpus == ()
        with host.clock.operation("authorize", 10.0):
            host.write(f"{linux.THUNDERBOLT}/0-1/authorized", b"1")
            host.clock.sleep(1.0)
        assert len(discover(host).gpus) == 1


def test_a_profile_cannot_ask_for_what_its_system_does_not_have(tmp_path, capsys):
    path = tmp_path / "mine.toml"
    path.write_text(MACHINE_TOML.format(system="Darwin", version="26", host="", enclosure="authorized = 0"))
    with pytest.raises(SystemExit):
        main(["doctor", "--bench", f"sim:{path}"])
    assert "enclosure.0.authorized: 0, but macOS has no authorization" in capsys.readouterr().err


def test_the_text_names_what_to_do_and_counts(no_node, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(MACHINE_TOML.format(system="Darwin", version="12.6", host="", enclosure=""))
    said = doctor("--bench", f"sim:{path}").output
    assert "must    mac.macos" in said
    assert "→ update to macOS 13 or newer" in said
    assert "1 must be done before tests can run" in said
    assert "nothing must be done" in doctor("--bench", "sim:empty-linux").output


def test_a_capture_is_looked_at_as_far_as_it_goes(no_node, tmp_path):
    path = tmp_path / "desk.hil"
    CliRunner().invoke(group, ["capture", str(path), "--bench", "sim:linux-two-enclosures"], catch_exceptions=False)
    result = doctor("--bench", f"captured:{path}", "--json")
    facts = {f["check"]: f for f in json.loads(result.output)["findings"]}
    assert result.exit_code == 0
    assert facts["linux.authorization"]["level"] == "ok"
    assert facts["linux.config-space"]["level"] == "advice"
    assert facts["linux.config-space"]["sentence"].startswith("not recorded: ")


def test_this_machine_can_be_looked_at(no_node, monkeypatch):
    monkeypatch.delenv("HIL_BENCH", raising=False)
    facts = json.loads(doctor("--json").output)
    assert (facts["bench"], facts["simulated"]) == ("local", False)
    version = ".".join(map(str, sys.version_info[:3]))
    assert {"check": "software.python", "level": "ok", "sentence": f"Python {version}", "todo": ""} in facts["findings"]
