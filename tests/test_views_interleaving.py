"""Pictures of schedules say what the schedules say, and a widget shows its errors."""

import pytest

from labkit.figures import STATIC_VARIABLE
from labkit.interleave import BOOST, MODELS, MODES, VANILLA, ScheduleError, interleave
from labkit.views import schedule_explorer
from labkit.views.errors import ErrorArea
from labkit.views.interleaving import delay_figure, packed_row_figure, schedule_figure
from labkit.views.schedule_explorer import ScheduleExplorer
from labkit.vocabulary import IGNORE, Vocabulary
from labkit.vocabulary.layout import CHAT_SPECIALS, released_specials

VOCABULARY = Vocabulary.of(100, (*CHAT_SPECIALS, *released_specials()), 50)


def boxes(figure, name: str) -> list[tuple[int, float]]:
    [bar] = [bar for bar in figure.select_traces({"type": "bar"}) if name in bar.name]
    return [(x, base + y / 2) for x, base, y in zip(bar.x, bar.base, bar.y, strict=True)]


def test_every_slot_has_one_box_in_its_makers_lane() -> None:
    figure = schedule_figure(MODES.values(), slots=33)
    drawn = [box for name in ("text", "audio token", "begin") for box in boxes(figure, name)]
    assert len(drawn) == len(set(drawn)) == 4 * 33
    assert {round(lane, 6) for _, lane in boxes(schedule_figure([VANILLA]), "text")} == {0}
    assert {round(lane, 6) for _, lane in boxes(schedule_figure([BOOST]), "audio token")} == {-1}


def test_the_line_stands_after_the_first_chunk() -> None:
    figure = schedule_figure([BOOST], first_chunk=8)
    [annotation] = figure.layout.annotations
    assert annotation.text == "8 audio tokens, pass 0"
    assert 9.5 in [shape.x0 for shape in figure.layout.shapes if shape.type == "line"]
    assert not schedule_figure([BOOST], first_chunk=400).layout.annotations


def test_the_delay_picture_has_a_line_for_each_delay_in_sight() -> None:
    lines = [shape.x0 + 0.5 for shape in delay_figure(MODELS, text_length=16).layout.shapes]
    assert lines == [16, 16, 5, 5, 7, 9, 1, 1, 13, 22, 7, 9, 0, 0]


def packed(mode=BOOST) -> tuple[list[int], list[int], list[int]]:
    answer = interleave([1, 2, 3], VOCABULARY.audio_ids(range(10)), mode, VOCABULARY)
    ids = [VOCABULARY.im_start, 5, *answer, VOCABULARY.im_end]
    labels = [IGNORE, IGNORE, *ids[2:]]
    return ids * 2, labels * 2, [*range(len(ids))] * 2


def test_rows_and_targets_of_a_packed_row() -> None:
    ids, labels, positions = packed()
    figure = packed_row_figure(ids, labels, positions, VOCABULARY, modules=(0, 3))
    learn = boxes(figure, "with a target")
    length = len(ids) // 2
    backbone, first, fourth = ([x for x, y in learn if round(y) == lane] for lane in (-2, -3, -4))
    assert backbone == [*range(1, length - 1), *range(length + 1, 2 * length - 1)]
    assert first == [x for x in backbone if positions[x] >= 1]
    assert fourth == [x for x in backbone if positions[x] >= 4]
    assert length - 1 not in backbone, "the last row of a sample does not learn the next sample's first token"


def test_a_row_of_unequal_parts_is_refused() -> None:
    ids, labels, positions = packed()
    with pytest.raises(ValueError, match="as many ids"):
        packed_row_figure(ids, labels[1:], positions, VOCABULARY)


@pytest.fixture
def explorer() -> ScheduleExplorer:
    return ScheduleExplorer(pack=packed, vocabulary=VOCABULARY)


def test_typing_a_schedule_redraws(explorer: ScheduleExplorer) -> None:
    assert "<b>0</b>" in explorer.summary.value
    explorer.schedule.value = "2 6 3 8"
    assert "(2, 6) (3, 8)" in explorer.summary.value
    figures = [output["data"]["application/vnd.plotly.v1+json"] for output in explorer.figures.outputs]
    assert [figure["layout"]["title"]["text"] for figure in figures] == [
        "Who makes each slot, and what it holds",
        "A packed training row",
    ]


def test_presets_and_content(explorer: ScheduleExplorer) -> None:
    explorer.presets[3].click()
    assert explorer.mode is VANILLA
    explorer.content.value = "1 4"
    assert explorer.mode.content == ((1, 4),)
    explorer.presets[1].click()
    assert explorer.mode is BOOST


@pytest.mark.parametrize(
    ("typed", "message"),
    [("1 10 4", "Add the missing count"), ("1 11", "the model has 10"), ("1 10 4 0", "no audio")],
)
def test_errors_are_shown_and_cleared(explorer: ScheduleExplorer, typed: str, message: str) -> None:
    before = explorer.summary.value
    explorer.schedule.value = typed
    assert message in explorer.errors.widget.value
    assert explorer.summary.value == before
    explorer.schedule.value = "1 10"
    assert explorer.errors.widget.value == ""


def test_faults_of_the_lab_come_with_a_traceback() -> None:
    area = ErrorArea()

    @area.guard
    def broken() -> None:
        raise KeyError("<b>")

    broken()
    assert "Traceback" in area.widget.value
    assert "<b>" not in area.widget.value
    area.show(ScheduleError("too <long>"))
    assert "too &lt;long&gt;" in area.widget.value
    assert "Traceback" not in area.widget.value


def test_an_executed_notebook_shows_the_first_state_as_a_figure(
    explorer: ScheduleExplorer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list = []
    monkeypatch.setattr(schedule_explorer, "show", shown.append)
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    explorer._ipython_display_()
    assert len(shown) == 1
    assert "interactive" in capsys.readouterr().out
