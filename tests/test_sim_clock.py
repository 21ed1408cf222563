"""The simulated machine's clock: time passes only while all who count wait, and nobody waits for ever."""

from __future__ import annotations

import gc
import math
import socket
import threading
import weakref
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim_rig import Task, until

from hil.errors import BenchFault, DeviceGone
from hil.sim.clock import Actor, Disconnected, VirtualClock


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    clock = VirtualClock()
    yield clock
    clock.switch_off()


def operation(clock: VirtualClock, client: str, *seconds: float, deadline: float = math.inf) -> Task:
    """Register an actor, which then sleeps in a thread of its own; returns the times at which it woke."""
    clock.begin(client, "operation", deadline, lambda _: None)

    def run() -> list[float]:
        woke = []
        for pause in seconds:
            clock.sleep(client, pause)
            woke.append(clock.now())
        clock.end(client)
        return woke

    return Task(run)


def waits(clock: VirtualClock, client: str) -> bool:
    return any(actor["client"] == client and actor["waits"] for actor in clock.actors())


def test_a_sleep_with_nobody_else_about_takes_no_real_time(clock):
    clock.sleep("me", 3600.0)

    assert clock.now() == 3600.0


def test_time_stands_still_while_an_actor_computes(clock):
    clock.begin("busy", "computing", math.inf, lambda _: None)
    sleeper = operation(clock, "sleeper", 1.0)
    until(lambda: waits(clock, "sleeper"))

    assert clock.now() == 0.0
    assert not sleeper.over

    clock.end("busy")

    assert sleeper.result() == [1.0]


def test_time_stands_still_while_a_connection_has_something_unread(clock):
    ours, theirs = socket.socketpair()
    go_on, taken = threading.Event(), clock.signal()

    def serve() -> None:
        with clock.lock:
            clock.listen(theirs)
        go_on.wait(20)
        assert theirs.recv(1) == b""
        with clock.lock:
            taken.fire()
            clock.deafen()

    with ours, theirs:
        server = Task(serve)
        clock.begin("waiter", "waiting for the other to hang up", 5.0, lambda _: None)
        until(lambda: clock._heard)
        ours.close()
        waiter = Task(lambda: clock.wait("waiter", taken, timeout=3.0, what="the other"))
        until(lambda: waits(clock, "waiter"))
        assert clock.now() == 0.0
        go_on.set()
        server.result()
        assert waiter.result() is True
    assert clock.now() == 0.0


def test_what_was_unread_keeps_time_only_until_it_is_read_though_more_is_still_to_come(clock):
    ours, theirs = socket.socketpair()
    go_on = threading.Event()

    def serve() -> bytes:
        with clock.lock:
            clock.listen(theirs)
        go_on.wait(20)
        return clock.hear(theirs, 8)

    with ours, theirs:
        server = Task(serve)
        until(lambda: clock._heard)
        ours.send(b"half")
        sleeper = Task(lambda: clock.sleep("sleeper", 1.0))
        until(lambda: clock._waits)
        assert clock.now() == 0.0
        go_on.set()
        sleeper.result()
        assert clock.now() == 1.0
        ours.send(b" and more")
        assert server.result() == b"half and"


def test_a_thread_that_waits_itself_holds_no_time_with_what_it_has_unread(clock):
    ours, theirs = socket.socketpair()

    def serve() -> float:
        with clock.lock:
            clock.listen(theirs)
        clock.sleep("server", 2.0)
        clock.deafen()
        return clock.now()

    with ours, theirs:
        ours.send(b"more")
        assert Task(serve).result() == 2.0


def test_time_goes_to_the_earliest_event_first(clock):
    clock.begin("hold", "hold", math.inf, lambda _: None)
    late, early = operation(clock, "late", 3.0), operation(clock, "early", 1.0, 1.0)
    clock.end("hold")

    assert early.result() == [1.0, 2.0]
    assert late.result() == [3.0]


def test_events_at_one_moment_happen_in_the_order_in_which_they_were_set(clock):
    happened: list[str] = []
    for name in ("first", "second", "third"):
        clock.at(1.0, lambda name=name: happened.append(name))

    clock.sleep("me", 2.0)

    assert happened == ["first", "second", "third"]


def test_a_timer_that_was_cancelled_does_not_happen(clock):
    happened: list[float] = []
    cancelled, kept = clock.at(1.0, lambda: happened.append(1.0)), clock.at(2.0, lambda: happened.append(2.0))
    clock.cancel(cancelled)
    clock.sleep("me", 3.0)
    clock.cancel(kept)  # it has happened: nothing changes
    clock.sleep("me", 1.0)

    assert happened == [2.0]
    assert clock.now() == 4.0


def test_cancelled_timers_are_let_go_long_before_their_time(clock):
    class Callback:
        def __call__(self) -> None:
            raise AssertionError

    held = []
    for _ in range(1000):
        callback = Callback()
        held.append(weakref.ref(callback))
        clock.cancel(clock.at(1e9, callback))
    del callback
    gc.collect()

    assert sum(ref() is not None for ref in held) <= 100
    clock.sleep("me", 1.0)
    assert clock.now() == 1.0


def test_a_daemon_wakes_as_time_passes_and_never_moves_it(clock):
    watcher = Task(lambda: clock.sleep("watcher", 1.0, daemon=True))
    until(lambda: clock._waits)
    assert clock.now() == 0.0

    clock.sleep("me", 0.5)
    assert not watcher.over

    clock.sleep("me", 2.0)
    watcher.result()
    assert clock.now() == 2.5


def test_what_a_fault_lets_happen_later_does_not_move_time(clock):
    happened: list[float] = []
    clock.at(1.0, lambda: happened.append(clock.now()), daemon=True)
    waiter = Task(lambda: clock.wait("me", clock.signal(), what="nothing"))
    until(lambda: clock._waits)
    assert happened == []

    clock.sleep("other", 2.0)

    assert happened == [1.0]
    assert not waiter.over


def test_a_client_without_an_actor_counts_only_while_it_waits(clock):
    worker = operation(clock, "worker", 5.0)
    assert worker.result() == [5.0]
    clock.begin("worker", "computing", math.inf, lambda _: None)
    passer_by = Task(clock.sleep, "passer-by", 1.0)
    until(lambda: clock._waits)
    assert clock.now() == 5.0  # it may not move time past somebody who computes

    clock.end("worker")
    passer_by.result()

    assert clock.now() == 6.0


def test_an_event_that_is_set_while_all_others_wait_happens(clock):
    signal = clock.signal()
    waiter = operation(clock, "other", 60.0)
    assert waiter.result() == [60.0]
    waiter = Task(lambda: clock.wait("waiter", signal, what="the signal"))
    until(lambda: clock._waits)

    with clock.lock, clock.lock:
        clock.at(5.0, signal.fire)
        assert clock.now() == 60.0  # not before all of what is done now is done

    assert waiter.result() is True
    assert clock.now() == 65.0


def test_two_pollers_do_not_race_time_away(clock):
    done = []
    clock.begin("hold", "hold", math.inf, lambda _: None)

    def poll() -> int:
        asked = 0
        while not done:
            asked += 1
            clock.sleep("poller", 0.01)
        clock.end("poller")
        return asked

    clock.begin("poller", "wait until it is done", math.inf, lambda _: None)
    poller = Task(poll)
    clock.begin("worker", "twenty steps of 10 ms", math.inf, lambda _: None)

    def work() -> float:
        for _ in range(20):
            clock.sleep("worker", 0.01)
        done.append(True)
        took = clock.now()
        clock.end("worker")
        return took

    worker = Task(work)
    clock.end("hold")

    assert worker.result() == pytest.approx(0.2)
    assert poller.result() <= 21
    assert clock.now() <= 0.22


def test_a_signal_wakes_before_the_timeout_and_the_timeout_without_it(clock):
    signal = clock.signal()
    clock.at(1.0, signal.fire)

    assert clock.wait("me", signal, timeout=2.0, what="the signal") is True
    assert clock.now() == 1.0
    assert clock.wait("me", signal, timeout=2.0, what="the signal") is False
    assert clock.now() == 3.0
    assert clock.wait("me", signal, timeout=0.0, what="the signal") is False


def test_a_signal_that_came_in_time_counts_even_if_its_thread_is_late(clock):
    signal = clock.signal()
    watcher = Task(lambda: clock.wait("watcher", signal, timeout=1.0, what="the signal", daemon=True))
    until(lambda: clock._waits)

    with clock.lock:
        signal.fire()
        clock.sleep("me", 5.0)  # past the watcher's timeout before its thread can go on

    assert watcher.result() is True


def test_a_closed_connection_removes_its_actor_and_breaks_off_its_waits(clock):
    clock.begin("hold", "hold", math.inf, lambda _: None)
    stuck, other = operation(clock, "stuck", math.inf), operation(clock, "other", 1.0)
    clock.end("hold")
    until(lambda: waits(clock, "stuck"))

    clock.disconnect("stuck")

    with pytest.raises(Disconnected):
        stuck.result()
    assert other.result() == [1.0]
    assert clock.actors() == []


def test_a_client_that_is_gone_can_neither_wait_nor_begin_until_it_is_there_again(clock):
    clock.disconnect("ghost")

    with pytest.raises(Disconnected):
        clock.sleep("ghost", 1.0)
    with pytest.raises(Disconnected):
        clock.begin("ghost", "haunting", 1.0, lambda _: None)
    assert clock.now() == 0.0

    clock.connect("ghost")
    clock.sleep("ghost", 1.0)

    assert clock.now() == 1.0


def test_a_wait_stays_broken_off_though_its_client_is_there_again(clock):
    stuck = Task(lambda: clock.wait("client", clock.signal(), what="nothing"))
    until(lambda: clock._waits)

    with clock.lock:
        clock.disconnect("client")
        clock.connect("client")

    with pytest.raises(Disconnected):
        stuck.result()


def test_the_end_of_a_client_that_waits_lets_the_others_go_on(clock):
    clock.begin("hold", "hold", math.inf, lambda _: None)
    waiter = Task(clock.sleep, "waiter", 1.0)
    until(lambda: clock._waits)

    clock.disconnect("hold")
    waiter.result()

    assert clock.now() == 1.0


def test_a_deadline_comes_when_all_are_blocked_and_then_time_stands_still_until_its_client_is_gone(clock):
    expired: list[tuple[str, list[str]]] = []
    clock.begin("hold", "hold", math.inf, lambda _: None)
    clock.begin("hung", "copy", 2.0, lambda actor: expired.append((actor.name, list(actor.waits.values()))))
    hung = Task(lambda: clock.wait("hung", clock.signal(), what="driver call synchronize"))
    other = operation(clock, "other", 1.0, 4.0)
    clock.end("hold")
    until(lambda: expired and waits(clock, "other"))

    assert expired == [("copy", ["driver call synchronize"])]
    assert clock.now() == 2.0
    assert not other.over

    clock.disconnect("hung")

    assert other.result() == [1.0, 5.0]
    with pytest.raises(Disconnected):
        hung.result()


def test_a_deadline_that_was_met_never_comes(clock):
    expired: list[Actor] = []
    clock.begin("me", "quick", 2.0, expired.append)
    clock.sleep("me", 1.0)
    clock.end("me")
    clock.sleep("me", 10.0)

    assert expired == []


def test_a_new_operation_takes_the_place_of_the_one_before(clock):
    expired: list[str] = []
    clock.begin("me", "first", 1.0, lambda actor: expired.append(actor.name))
    clock.begin("me", "second", 9.0, lambda actor: expired.append(actor.name))
    clock.sleep("me", 5.0)

    assert [actor["operation"] for actor in clock.actors()] == ["second"]
    assert expired == []


def test_the_clock_tells_who_is_registered_and_what_each_waits_for(clock):
    clock.begin("hold", "hold", math.inf, lambda _: None)
    clock.begin("sleeper", "nap", 60.0, lambda _: None)
    sleeper = Task(clock.sleep, "sleeper", 1.0, "a nap")
    until(lambda: waits(clock, "sleeper"))

    assert clock.actors() == [
        {"client": "hold", "operation": "hold", "deadline": math.inf, "waits": []},
        {"client": "sleeper", "operation": "nap", "deadline": 60.0, "waits": ["a nap"]},
    ]
    clock.end("hold")
    sleeper.result()


def test_switching_off_wakes_everyone_for_ever(clock):
    sleepers = [operation(clock, f"client {n}", math.inf) for n in range(3)]
    for n in range(3):
        until(lambda n=n: waits(clock, f"client {n}"))

    clock.switch_off()

    for sleeper in sleepers:
        with pytest.raises(Disconnected):
            sleeper.result()
    with pytest.raises(Disconnected):
        clock.sleep("late", 1.0)


def test_a_machine_that_fails_tells_all_who_wait_and_all_who_ask_later(clock, capsys):
    stuck = operation(clock, "stuck", math.inf)
    until(lambda: waits(clock, "stuck"))
    clock.at(1.0, lambda: 1 // 0)

    with pytest.raises(BenchFault, match="the simulated machine failed: ZeroDivisionError"):
        clock.sleep("me", 2.0)

    with pytest.raises(BenchFault, match="ZeroDivisionError"):
        stuck.result()
    with pytest.raises(BenchFault, match="ZeroDivisionError"):
        clock.begin("me", "later", 1.0, lambda _: None)
    assert "1 // 0" in capsys.readouterr().err


def test_an_error_that_explains_itself_is_passed_on_in_its_own_words(clock):
    def fail() -> None:
        raise DeviceGone("somebody tripped over the cable")

    clock.at(1.0, fail)

    with pytest.raises(BenchFault, match=r"^somebody tripped over the cable$"):
        clock.sleep("me", 2.0)


def test_what_is_no_number_of_seconds_is_refused_and_changes_nothing(clock):
    with pytest.raises(ValueError, match="nan"):
        clock.sleep("me", math.nan)
    with pytest.raises(ValueError, match="nan"):
        clock.begin("me", "operation", math.nan, lambda _: None)

    assert clock.actors() == []
    clock.sleep("me", 1.0)
    assert clock.now() == 1.0


def test_a_negative_delay_is_now(clock):
    happened: list[float] = []
    clock.sleep("me", 1.0)
    clock.at(-5.0, lambda: happened.append(clock.now()))
    clock.sleep("me", 1.0)

    assert happened == [1.0]


PAUSES = st.floats(min_value=0.001, max_value=1000.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(PAUSES, min_size=1, max_size=5), min_size=1, max_size=5))
def test_any_sleepers_wake_in_the_order_of_time(schedules):
    clock = VirtualClock()
    clock.begin("hold", "hold", math.inf, lambda _: None)
    woke: list[float] = []

    def sleep(client: str, pauses: list[float]) -> list[float]:
        own = []
        for pause in pauses:
            clock.sleep(client, pause)
            own.append(clock.now())
            woke.append(own[-1])
        clock.end(client)
        return own

    for n in range(len(schedules)):
        clock.begin(f"client {n}", "sleep", math.inf, lambda _: None)
    tasks = [Task(sleep, f"client {n}", pauses) for n, pauses in enumerate(schedules)]
    clock.end("hold")

    for task, pauses in zip(tasks, schedules, strict=True):
        expected, now = [], 0.0
        for pause in pauses:
            now += pause
            expected.append(now)
        assert task.result() == expected
    assert woke == sorted(woke)
    assert clock.now() == max(woke)
