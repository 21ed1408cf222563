"""What the host says meanwhile: AER counters and their path, Xids, the window of the kernel log."""

from __future__ import annotations

import errno

import pytest

from hil.errors import NotSupported
from hil.hosts import LogLine
from hil.model import HostFacts, from_dict, to_dict
from hil.watch import (
    MEANINGS,
    AerCount,
    AerCounters,
    Mark,
    Observations,
    begin,
    difference,
    parse,
    path_to_root,
    since,
    subject,
)
from hil.watch import aer as counters
from tests.files_host import FilesHost, refused
from tests.tree_host import tree

ROOT, UP, GPU = "0000:00:07.0", "0000:02:00.0", "0000:04:00.0"
TREE = f"""
[pci {ROOT}]
aer_dev_correctable = RxErr 0\\nBadTLP 2\\nTOTAL_ERR_COR 2
aer_dev_fatal = Undefined 0\\nTOTAL_ERR_FATAL 0
[pci {ROOT}/{UP}]
vendor = 0x8086
[pci {ROOT}/{UP}/{GPU}]
aer_dev_correctable = RxErr 1\\nBadTLP 0\\nRollover 0\\nTimeout 4\\nTOTAL_ERR_COR 5
aer_dev_nonfatal = CmpltTO 0\\nnot a counter\\nTOTAL_ERR_NONFATAL 0
"""
FALLEN = "NVRM: Xid (PCI:0000:04:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


def machine() -> FilesHost:
    described = tree(TREE)
    return FilesHost(files=described.files, links=described.links)


def count(host: FilesHost, address: str, severity: str, text: str) -> None:
    host.files[host._real(f"/sys/bus/pci/devices/{address}/aer_dev_{severity}")] = text.encode()


def one(name: str, number: int) -> AerCounters:
    return AerCounters(counts=(AerCount(address=GPU, severity="fatal", name=name, count=number),))


def test_the_path_to_the_root_is_what_the_kernel_links() -> None:
    assert path_to_root(machine(), GPU) == (ROOT, UP, GPU)


def test_a_function_that_is_not_there_is_its_own_path() -> None:
    assert path_to_root(FilesHost(), GPU) == (GPU,)


def test_a_link_without_addresses_is_no_path() -> None:
    host = FilesHost(links={f"/sys/bus/pci/devices/{GPU}": "../../../devices/odd"})

    assert path_to_root(host, GPU) == (GPU,)


def test_counters_are_read_without_totals_and_without_what_is_missing() -> None:
    host = machine()

    found = counters.read(host, counters.with_parents(host, [GPU]))

    assert {str(c) for c in found.counts if c.count} == {
        f"{ROOT} correctable BadTLP: 2",
        f"{GPU} correctable RxErr: 1",
        f"{GPU} correctable Timeout: 4",
    }
    assert not any(c.name.startswith("TOTAL") for c in found.counts)


@pytest.mark.parametrize(
    ("before", "after", "grown"),
    [
        (one("DLP", 3), one("DLP", 3), 0),
        (one("DLP", 3), one("DLP", 5), 2),
        (one("DLP", 3), one("DLP", 1), 1),  # started again from zero
        (AerCounters(), one("DLP", 2), 2),  # a function that came
        (one("DLP", 3), AerCounters(), 0),  # one that left
    ],
)
def test_a_difference_is_what_was_counted_since(before: AerCounters, after: AerCounters, grown: int) -> None:
    assert sum(c.count for c in difference(before, after)) == grown


def test_counters_cross_a_process_boundary() -> None:
    assert from_dict(AerCounters, to_dict(one("DLP", 3))) == one("DLP", 3)


@pytest.mark.parametrize(
    ("text", "pci", "number", "rest"),
    [
        (FALLEN, "0000:04:00", 79, "pid='<unknown>', name=<unknown>, GPU has fallen off the bus."),
        ("x NVRM: Xid (PCI:0000:0A:00): 31, pid=7, Ch 1", "0000:0a:00", 31, "pid=7, Ch 1"),
        ("NVRM: Xid (0000:03:00): 14, Channel 00000001", "0000:03:00", 14, "Channel 00000001"),
        ("NVRM: Xid (PCI:0000:04:00): 154", "0000:04:00", 154, ""),
    ],
)
def test_an_xid_is_parsed_from_its_line(text: str, pci: str, number: int, rest: str) -> None:
    (found,) = parse([LogLine(time=1.5, text=text)])

    assert (found.time, found.pci, found.number, found.text) == (1.5, pci, number, rest)


def test_lines_that_are_no_xid_are_none() -> None:
    assert parse([LogLine(time=1, text="NVRM: loading"), LogLine(time=2, text="Xid (PCI:0000:04:00): 79")]) == ()


def test_an_xid_knows_its_meaning_and_its_function() -> None:
    (fallen,) = parse([LogLine(time=1, text=FALLEN)])

    assert "fell off the bus" in fallen.meaning
    assert fallen.concerns("0000:04:00.0")
    assert fallen.concerns("0000:04:00.1")
    assert not fallen.concerns("0000:05:00.0")
    assert not fallen.concerns("nowhere")
    assert str(fallen).startswith("Xid 79 at 0000:04:00: pid=")


def test_an_xid_without_text_shows_its_meaning_or_says_there_is_none() -> None:
    known, unknown = parse([LogLine(time=1, text=f"NVRM: Xid (PCI:0000:04:00): {number}") for number in (119, 999)])

    assert str(known) == f"Xid 119 at 0000:04:00: {MEANINGS[119]}"
    assert str(unknown) == "Xid 999 at 0000:04:00: no text"


@pytest.mark.parametrize(
    ("text", "about"),
    [
        (FALLEN, "xid"),
        ("NVRM: GPU 0000:04:00.0: RmInitAdapter failed!", "nvidia"),
        ("pcieport 0000:00:07.0: AER: Corrected error received: 0000:02:00.0", "aer"),
        ("pcieport 0000:00:07.0: pciehp: Slot(12): Link Down", "hot plug"),
        ("thunderbolt 0-1: device disconnected", "thunderbolt"),
        ("kernel: (TinyGPU) FLR done", "tinygpu"),
        ("panic: [SPTM] VIOLATION_T8110_DART_X", "dart"),
        ("pci 0000:04:00.0: BAR 1: no space for [mem size 0x400000000]", "pci"),
        ("usb 1-1: new high-speed USB device", ""),
        ("systemd: standard output of dartboard.service", ""),
        ("AppleT8110DART: dart-apciec0: translation exception", "dart"),
        ("nvidia 0000:04:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000f address=0x0 flags=0x0020]", "iommu"),
        ("DMAR: [DMA Write NO_PASID] Request device [04:00.0] fault addr 0x0 [fault reason 0x05] PTE Write", "iommu"),
        ("DMAR: [INTR-REMAP] Request device [04:00.0] fault index 0x1f", ""),
        ("BUG: kernel NULL pointer dereference, address: 0000000000000008", "kernel"),
        ("kernel BUG at mm/slub.c:546!", "kernel"),
        ("Oops: 0002 [#1] PREEMPT SMP NOPTI", "kernel"),
        ("Internal error: synchronous external abort: 0000000096000410 [#1] SMP", "kernel"),
        ("general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1]", "kernel"),
        ("traps: python3[812] general protection fault ip:7f3a sp:7ffc error:0 in libcuda.so.1[7f00+100]", ""),
        ("watchdog: BUG: soft lockup - CPU#3 stuck for 26s! [kworker/3:1:211]", "kernel"),
        ("NMI watchdog: Watchdog detected hard LOCKUP on cpu 2", "kernel"),
        ("INFO: task kworker/u16:3:97 blocked for more than 120 seconds.", "kernel"),
        ("INFO: task nvidia-modeset/:412 blocked for more than 120 seconds.", "kernel"),
        ("INFO: task jbd2/sda1-8:301 blocked for more than 120 seconds.", ""),
        ("Kernel panic - not syncing: Fatal exception in interrupt", "kernel"),
        ("panic(cpu 4 caller 0xfffffe0000000000): nvme timeout", "kernel"),
        ("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", "kernel"),
        ("rcu: INFO: rcu_sched self-detected stall on CPU", "kernel"),
        ("WARNING: CPU: 3 PID: 8 at drivers/pci/pci.c:2112 pci_disable_device+0x8c/0xb0", "kernel"),
        ("WARNING: CPU: 3 PID: 8 at /var/lib/dkms/nvidia/build/nv.c:41 nv_close+0x1/0x2 [nvidia]", "kernel"),
        ("WARNING: drivers/thunderbolt/tunnel.c:90 at tb_tunnel_free+0x9/0x10, CPU#1: kworker/1:0/7", "kernel"),
        ("WARNING: CPU: 0 PID: 9 at drivers/net/wireless/rtw89/pci.c:1 rtw89_pci_tx+0x1/0x2 [rtw89_pci]", ""),
        ("[Firmware Bug]: ACPI region does not cover the entire command/response buffer.", ""),
        ("rcu: Hierarchical RCU implementation.", ""),
    ],
)
def test_a_line_is_marked_with_what_it_is_about(text: str, about: str) -> None:
    assert subject(text) == about


def test_observations_are_what_came_after_the_mark_and_nothing_else() -> None:
    host = machine()
    host.log = [LogLine(time=50, text="old"), LogLine(time=100.0, text="just before")]
    mark = begin(host, [GPU])
    host.log += [LogLine(time=100.0, text=FALLEN), LogLine(time=101, text="usb 1-1: new device")]
    count(host, GPU, "nonfatal", "CmpltTO 3\n")
    count(host, UP, "fatal", "DLP 1\n")

    seen = since(host, mark)

    assert [line.text for line in seen.lines] == [FALLEN, "usb 1-1: new device"]
    assert [line.about for line in seen.relevant] == ["xid"]
    assert [xid.number for xid in seen.xids] == [79]
    assert {str(c) for c in seen.aer} == {f"{GPU} nonfatal CmpltTO: 3", f"{UP} fatal DLP: 1"}
    assert (seen.rebooted, seen.problems) == (False, ())


HEAD = f"pcieport {ROOT}: AER: Uncorrectable (Fatal) error message received from {GPU}"
SEVERE = f"nvidia {GPU}: PCIe Bus Error: severity=Uncorrectable (Fatal), type=Transaction Layer, (Receiver ID)"
OLD = f"pcieport {ROOT}: AER: Multiple Uncorrected (Non-Fatal) error received: {UP}"
MILD = f"nvidia {GPU}: PCIe Bus Error: severity=Correctable, type=Data Link Layer, (Receiver ID)"
MALFORMED = f"nvidia {GPU}:    [18] MalfTLP                (First)"


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([HEAD, SEVERE, MALFORMED], [f"{GPU} fatal MalfTLP: 1"]),
        ([HEAD], [f"{GPU} fatal not named: 1"]),
        ([OLD], [f"{UP} nonfatal not named: 1"]),
        ([SEVERE, MALFORMED, MILD, f"nvidia {GPU}:    [ 6] BadTLP"], [f"{GPU} fatal MalfTLP: 1"]),
        ([MILD, f"nvidia {GPU}:    [ 6] BadTLP"], []),
        ([MALFORMED], []),
        ([line.replace(GPU, "0000:09:00.0") for line in (HEAD, SEVERE, MALFORMED)], []),
    ],
)
def test_an_uncorrectable_error_that_no_counter_tells_of_is_taken_from_the_log(
    texts: list[str], found: list[str]
) -> None:
    host = machine()
    mark = begin(host, [GPU])
    host.log = [LogLine(time=101.0, text=text) for text in texts]

    assert [str(c) for c in since(host, mark).aer] == found


def test_an_uncorrectable_error_that_a_counter_tells_of_is_not_told_again() -> None:
    host = machine()
    mark = begin(host, [GPU])
    host.log = [LogLine(time=101.0, text=text) for text in (HEAD, SEVERE, MALFORMED)]
    count(host, GPU, "fatal", "MalfTLP 1\n")

    assert [str(c) for c in since(host, mark).aer] == [f"{GPU} fatal MalfTLP: 1"]


def test_mark_and_observations_cross_a_process_boundary() -> None:
    host = machine()
    host.log = [LogLine(time=100.0, text=FALLEN)]
    mark = begin(host, [GPU])
    host.log.append(LogLine(time=101.0, text=FALLEN))
    count(host, GPU, "fatal", "DLP 1\n")
    seen = since(host, mark)

    assert from_dict(Mark, to_dict(mark)) == mark
    assert from_dict(Observations, to_dict(seen)) == seen
    assert seen.aer
    assert seen.xids


def test_bridges_are_watched_on_after_their_function_left() -> None:
    host = machine()
    mark = begin(host, [GPU])
    del host.links[f"/sys/bus/pci/devices/{GPU}"]
    count(host, ROOT, "correctable", "BadTLP 9\n")

    assert [str(c) for c in since(host, mark).aer] == [f"{ROOT} correctable BadTLP: 7"]


def test_a_function_that_came_back_elsewhere_is_watched_with_its_new_bridges() -> None:
    host = machine()
    mark = begin(host, [GPU])
    moved = tree(f"[pci 0000:00:07.1]\naer_dev_fatal = DLP 1\n[pci 0000:00:07.1/{GPU}]\nvendor = 0x10de\n")
    host.files.update(moved.files)
    host.links.update(moved.links)

    assert [str(c) for c in since(host, mark).aer] == ["0000:00:07.1 fatal DLP: 1"]


def test_a_reboot_is_noticed_and_all_that_was_counted_since_is_news() -> None:
    host = machine()
    mark = begin(host, [GPU])
    host.boot_id, host.clock.time = "boot-2", 3.0
    host.log = [LogLine(time=1.0, text="booting")]

    seen = since(host, mark)

    assert seen.rebooted
    assert [line.text for line in seen.lines] == ["booting"]
    assert sum(c.count for c in seen.aer) == 7


@pytest.mark.parametrize(
    ("refusal", "words"),
    [(errno.EACCES, "may not be read"), (errno.EIO, "cannot be read")],
)
def test_a_kernel_log_that_may_not_be_read_is_a_sentence(refusal: int, words: str) -> None:
    host = machine()
    host.log = refused(refusal)

    seen = since(host, begin(host, [GPU]))

    assert seen.lines == ()
    assert [words in problem for problem in seen.problems] == [True]


def test_a_host_that_does_not_tell_its_boot_is_a_sentence() -> None:
    class Silent(FilesHost):
        def facts(self) -> HostFacts:
            raise NotSupported("nothing recorded")

    host = Silent(system="Linux")

    seen = since(host, begin(host, [GPU]))

    assert not seen.rebooted
    assert any("reboot would go unnoticed" in problem for problem in seen.problems)
