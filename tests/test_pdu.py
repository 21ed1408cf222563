"""The outlet of a PDU, by labgrid's backends: the real ones where labgrid is installed, else stand-ins of theirs."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from hil.control import PowerActuator
from hil.control.pdu import PduOutlet
from hil.errors import BenchFault, NotSupported, UsageError
from hil.model import Router, RouterRole

BOX = Router(uid="00000000000000aa", name="0-1", role=RouterRole.ENCLOSURE, domain="domain0", device_name="Box")
SHELLY = """
import json
from urllib.request import Request, urlopen

def _ask(host, method, **params):
    data = json.dumps({"id": 1, "method": method, "params": params}).encode()
    with urlopen(Request(host + "/rpc", data)) as answer:
        return json.load(answer)["result"]

def power_set(host, port, index, value):
    assert port is None
    _ask(host, "Switch.Set", id=index, on=value)

def power_get(host, port, index):
    return _ask(host, "Switch.GetStatus", id=index)["output"]
"""
PORTED = """
PORT = 80
asked = []

def power_set(*arguments):
    asked.append(arguments)

def power_get(*arguments):
    asked.append(arguments)
    return True
"""
NEEDS_MORE = "import a_library_that_nobody_has\n"


class Relay(BaseHTTPRequestHandler):
    """A relay that speaks Shelly's second protocol: what goes over the wire, not what labgrid does."""

    on = True
    stuck = False

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind = type(self)
        if asked["method"] == "Switch.Set" and not kind.stuck:
            kind.on = asked["params"]["on"]
        body = json.dumps({"id": 1, "result": {"id": asked["params"]["id"], "output": kind.on}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def relay():
    kind = type("OneRelay", (Relay,), {})
    server = HTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield kind, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def labgrid(tmp_path, monkeypatch):
    """Where labgrid is not installed, backends of the same shape: ours is what calls them."""
    if importlib.util.find_spec("labgrid"):
        yield
        return
    package = tmp_path / "labgrid" / "driver" / "power"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").write_text("")
    for name, text in (("shelly_gen2", SHELLY), ("ported", PORTED), ("needs_more", NEEDS_MORE)):
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "labgrid"]:
        del sys.modules[name]


def outlet(host: str, **options: object) -> PduOutlet:
    return PduOutlet.open(None, BOX, {"model": "shelly_gen2", "host": host, **options})


def test_it_switches_and_looks_whether_that_was_done(labgrid, relay):
    kind, address = relay
    one = outlet(address, index=0)

    one.power_off()
    was = kind.on
    one.power_on()
    one.close()

    assert (was, kind.on) == (False, True)
    assert isinstance(one, PowerActuator)
    assert one.name == f"outlet 0 of {address}, which feeds Box"


def test_an_outlet_that_says_yes_and_does_nothing_is_found_out(labgrid, relay):
    kind, address = relay
    one = outlet(address)
    kind.stuck = True

    with pytest.raises(
        BenchFault, match=r"power off by outlet 0 of .*: it was told so and says that it is on; look at"
    ):
        one.power_off()


def test_an_outlet_that_does_not_answer_is_told_when_it_is_opened(labgrid):
    with pytest.raises(BenchFault, match=r"open by outlet 0 of http://127.0.0.1:9, .*Error.*Is it reachable from the"):
        outlet("http://127.0.0.1:9")


def test_one_that_went_away_is_a_fault_of_the_bench(labgrid, relay):
    _, address = relay
    one = outlet(address)
    one._host = "http://127.0.0.1:9"

    with pytest.raises(BenchFault, match="power on by outlet 0 of "):
        one.power_on()


@pytest.mark.skipif(importlib.util.find_spec("labgrid") is not None, reason="asks for a backend that labgrid lacks")
def test_a_backend_is_given_the_port_that_it_names(labgrid):
    outlet("10.0.0.7", model="ported", index=3).power_on()

    assert sys.modules["labgrid.driver.power.ported"].asked == [
        ("10.0.0.7", 80, 3),
        ("10.0.0.7", 80, 3, True),
        ("10.0.0.7", 80, 3),
    ]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"modle": "gude"}, "actuator pdu: no option 'modle'; known: host, index, model"),
        ({}, "model = None; expected a module of labgrid.driver.power, such as 'shelly_gen2'"),
        ({"model": "../gude", "host": "x"}, "model = '../gude'; expected"),
        ({"model": "gude"}, "host = None; expected the address or URL"),
        ({"model": "gude", "host": "x", "index": True}, "index = True; expected the outlet's number"),
        ({"model": "gude", "host": "x", "index": -1}, "index = -1; expected"),
        ({"model": "no_such", "host": "x"}, "labgrid has no power backend 'no_such'"),
    ],
)
def test_options_that_make_no_sense_are_refused(labgrid, options, complaint):
    with pytest.raises(UsageError) as caught:
        PduOutlet.open(None, BOX, options)
    assert complaint in str(caught.value)


def test_what_is_not_installed_says_how_to_install_it(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("labgrid.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "labgrid", None)

    with pytest.raises(NotSupported, match=r"labgrid is not installed on the computer .*pip install 'hil\[pdu\]'"):
        outlet("10.0.0.7")


@pytest.mark.skipif(importlib.util.find_spec("labgrid") is not None, reason="asks for a backend that labgrid lacks")
def test_what_a_backend_needs_and_is_not_there_is_named(labgrid):
    with pytest.raises(NotSupported, match=r"a_library_that_nobody_has \(of labgrid's extras\) is not installed"):
        outlet("10.0.0.7", model="needs_more")
