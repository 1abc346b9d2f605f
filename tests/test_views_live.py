"""Work in a widget gives way, can be stopped and interrupted, shows its errors, and lets go in the end."""

import asyncio
import os
import signal
import time
from types import SimpleNamespace

import pytest

from labkit.views import live
from labkit.views.live import LiveWidget


class Counter(LiveWidget):
    """Counts to a number, a step for each."""

    def __init__(self) -> None:
        self.count, self.model = 0, object()
        super().__init__()

    @property
    def commands(self):
        return {"count": lambda asked: self.steps(asked["to"]), "fail": self._fail, "add": self._add}

    def steps(self, to: int):
        for _ in range(to):
            self.count += 1
            yield

    def _add(self, asked) -> None:
        self.count += asked["more"]

    def _fail(self, asked):
        yield
        raise asked["error"]

    def release(self) -> None:
        self.model = None


def test_without_an_event_loop_work_is_done_at_once():
    counter = Counter()
    counter.command({"do": "count", "to": 5})
    assert (counter.count, counter.busy) == (5, "")


def test_between_two_steps_others_have_their_turn():
    async def both() -> list[int]:
        counter, seen = Counter(), []
        counter.command({"do": "count", "to": 50, "title": "counting"})
        assert counter.busy == "counting"
        while counter.busy:
            seen.append(counter.count)
            await asyncio.sleep(0)
        return seen

    seen = asyncio.run(both())
    assert len(seen) >= 50
    assert seen[-1] >= 49


def test_a_stop_ends_the_work_before_its_next_step():
    async def stop() -> Counter:
        counter = Counter()
        counter.command({"do": "count", "to": 10**9})
        for _ in range(20):
            await asyncio.sleep(0)
        counter.command({"do": "stop"})
        await asyncio.wait_for(counter._task, 1)
        return counter

    counter = asyncio.run(stop())
    assert 0 < counter.count <= 21
    assert counter.stopped
    assert counter.busy == ""


def test_one_work_at_a_time_and_the_answer_says_what_to_do():
    async def twice() -> dict:
        counter = Counter()
        counter.command({"do": "count", "to": 100, "title": "counting"})
        counter.command({"do": "count", "to": 100})
        error = dict(counter.error)
        counter.stop()
        await counter._task
        return error

    assert asyncio.run(twice())["message"] == "still counting; press Stop first"


@pytest.mark.parametrize("inside", [True, False])
def test_the_kernels_interrupt_ends_the_work_and_nothing_else(inside):
    class Sleeper(Counter):
        def steps(self, to: int):
            while True:
                self.count += 1
                if inside and self.count == 3:
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(0.01)
                    raise AssertionError("the interrupt came too late")
                yield

    async def run() -> Sleeper:
        sleeper = Sleeper()
        sleeper.command({"do": "count", "to": 1})
        while sleeper.count < 3 and sleeper.busy:
            await asyncio.sleep(0)
        if not inside:
            os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(sleeper._task, 1) if sleeper._task else None
        return sleeper

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as ipykernel has it between cells
    try:
        sleeper = asyncio.run(run())
        assert sleeper.count == 3 or not inside
        assert (sleeper.busy, sleeper.error) == ("", {})
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_still_works_when_the_kernel_took_its_handler_back():
    # ipykernel puts its own handler back once the message that began the work is dealt with.
    async def run() -> Counter:
        counter = Counter()
        counter.command({"do": "count", "to": 10**9})
        await asyncio.sleep(0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(counter._task, 1)
        return counter

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert asyncio.run(run()).stopped
    finally:
        signal.signal(signal.SIGINT, before)


def test_bad_input_shows_as_its_message_and_the_next_success_clears_it():
    counter = Counter()
    counter.command({"do": "fail", "error": ValueError("type a number, such as 3")})
    assert counter.error == {"message": "type a number, such as 3", "trace": ""}
    counter.command({"do": "add", "more": 1})
    assert counter.error == {}


def test_a_fault_shows_with_its_traceback_and_leaves_the_widget_usable():
    counter = Counter()
    counter.command({"do": "fail", "error": OSError("disk full")})
    assert counter.error["message"] == "OSError: disk full"
    assert "Traceback" in counter.error["trace"]
    counter.command({"do": "count", "to": 2})
    assert (counter.count, counter.error) == (2, {})


def test_an_unknown_command_is_shown():
    counter = Counter()
    counter.command({"do": "fly"})
    assert "fly" in counter.error["message"]


def test_closing_stops_lets_go_and_stays_closed():
    async def close() -> Counter:
        counter = Counter()
        counter.command({"do": "count", "to": 10**9})
        await asyncio.sleep(0)
        counter.close()
        counter.close()
        for _ in range(3):
            await asyncio.sleep(0)
        return counter

    counter = asyncio.run(close())
    assert counter.count <= 2
    assert counter.model is None
    with pytest.raises(RuntimeError, match="run its cell again"):
        counter.work(iter(()))


def test_running_a_cell_again_closes_what_it_showed_before(monkeypatch):
    def run(cell: str, number: str) -> None:
        parent = {"metadata": {"cellId": cell}, "header": {"msg_id": number}}
        monkeypatch.setattr(live, "get_ipython", lambda: SimpleNamespace(get_parent=lambda: parent))

    run("a", "1")
    first, second = Counter(), Counter()  # one cell may show two
    run("b", "2")
    other = Counter()
    run("a", "3")
    third = Counter()
    assert [each.closed for each in (first, second, other, third)] == [True, True, False, False]
