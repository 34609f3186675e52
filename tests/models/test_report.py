"""The report against a small evaluation written by hand: its numbers are there, it is well formed, and nothing breaks on null."""

import re
from copy import deepcopy
from html.parser import HTMLParser

import numpy as np
import pytest

from spymaster_assets.models import report_pictures, report_tables
from spymaster_assets.models.report import page, text
from spymaster_assets.models.report_words import headline, limitations, title, verdict

VOID = {"meta", "link", "br", "img", "input", "hr"}  # elements without an end
CLOSED = {"path", "line", "circle", "use", "rect", "polygon", "g"}  # of SVG: may be closed at once


def score(name, elapsed, gain, **more):
    told = {
        "name": name, "horizon": "4min", "elapsed": elapsed, "rows": 1234, "n_eff": 567.8, "log_loss": 0.9876, "brier": 0.6543,
        "gain": gain, "p": 0.0123, "auc": 0.711, "stratified": 0.583, "resolved_auc": 0.522, "slope": 0.97, "intercept": -0.31,
        "ece": 0.067, "floor": 0.045, "holm": 0.0456,
    }  # fmt: skip
    return told | more


@pytest.fixture(scope="module")
def found():
    """Trees and retrieval beside geometry and the base rate on three real dates; all numbers differ."""
    dates = ["2025-06-02", "2025-06-03", "2025-06-04"]
    geometry = {"p": 1.0, "holm": None, "stratified": 0.507}
    bins = {
        "share": [0.412, 0.588],
        "said": [0.313, 0.687],
        "happened": [0.294, 0.801],
        "low": [0.211, 0.605],
        "high": [0.422, 0.766],
    }
    murphy = {"brier": 0.2211, "reliability": 0.0034, "resolution": 0.0312, "uncertainty": 0.2489, "within": 0.0007}
    curve = {
        "roc": {"x": [0.0, 0.25, 1.0], "y": [0.0, 0.625, 1.0]},
        "precision_recall": {"x": [0.5, 1.0], "y": [0.875, 0.5]},
        "average_precision": 0.644, "lift": 1.37,
    }  # fmt: skip
    neighbour = {"date": "2025-05-19", "level": "PM_LOW", "direction": "DOWN", "price": 5901.25, "distance": 0.876,
                 "outcome": "CHOP",
                 "strength": -2.75}  # fmt: skip
    return {
        "date": dates[-1], "dates": dates, "rows": 2468, "touches": 321, "simulated": 0, "best": "trees",
        "power": "With 299 effective resolved test rows not much can be told.",
        "horizons": {
            "4min": [
                score("trees", -1, [0.0311, 0.0112, 0.0513]), score("geometry", -1, [0.0, 0.0, 0.0], **geometry),
                score("base rate", -1, [-0.2345, -0.3456, -0.1234]),
                score("retrieval", 0, [0.0222, -0.0077, 0.0521], p=0.0789, holm=0.1578, rows=321, slope=0.41),
                score("trees", 0, [0.0199, 0.0033, 0.0366], holm=0.0601, rows=321, slope=1.83),
                score("base rate", 0, [0.0144, 0.0011, 0.0277], rows=321),
                score("geometry", 0, [0.0, 0.0, 0.0], rows=321, **geometry),
            ],
            "2min": [score("trees", 0, [0.0099, -0.0088, 0.0286], horizon="2min")],
        },
        "reliability": {"geometry": {}, "trees": {**bins, "murphy": murphy}, "retrieval": {**bins, "murphy": murphy}},
        "curves": {"geometry": {}, "trees": curve, "retrieval": curve},
        "over_time": {
            "trees": {"dates": dates, "gain": [0.0711, -0.0222, 0.0433], "rolling": [0.0711, 0.0244, 0.0307],
                      "silent": [0.41, 0.42, 0.43]},
            "retrieval": {"dates": dates[1:], "gain": [0.0522, 0.0633], "rolling": [0.0522, 0.0577], "silent": [0.55, 0.66]},
        },
        "by": {
            "level": [{"value": "OR_HIGH", "rows": 1357, "gain": [0.0422, 0.0211, 0.0633]}],
            "seconds after the touch": [{"value": "120", "rows": 86, "gain": [-0.0155, None, None]}],
        },
        "importance": {
            "features": [{"name": "wall_ratio", "family": "book", "share": 0.1537}],
            "families": [{"name": "tape", "loss": [0.0266, 0.0166, 0.0366]}],
        },
        "coverage": {"trees": [{"group": [0], "rows": 319, "covered": 0.873, "abstained": 0.912},
                               {"group": [5, 15, 30], "rows": 0, "covered": None, "abstained": None}]},
        "drift": {
            "features": [{"name": "gex_oi", "psi": 1.398, "ks": 0.263, "chance": 0.0417}], "beyond": 7, "of": 266,
            "flagged": "2025-06-04",
            "excess": [0.0, 2.5, 5.75], "dates": dates,
        },
        "cases": [{
            "date": dates[-1], "level": "PM_HIGH", "direction": "UP", "price": 6076.75, "time": "2025-06-04T13:29:47.500000-04:00",
            "outcome": "BOUNCE", "geometry": [0.254, 0.361, 0.385], "odds": [0.346, 0.418, 0.236], "low": [0.28, 0.35, 0.18],
            "high": [0.43, 0.49, 0.31], "effective": 135.3, "far": True, "neighbours": [neighbour],
        }],
        "leak": ["trees, 0 s: stratified AUC 0.712 above 0.65"],
        "ablations": [{"name": "without tape", "stage": "stage_a", "gain": [0.0088, 0.0012, 0.0164],
                       "delta": [-0.0111, -0.0205, -0.0017]}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def whole(found):
    return page(found)


class Balance(HTMLParser):
    """Every element is closed where it should be; `words` are what is read, `kept` all attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.words, self.kept = [], [], []

    def handle_starttag(self, tag, attributes):
        self.kept += [(tag, *one) for one in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert tag in CLOSED, tag
        self.kept += [(tag, *one) for one in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read(whole):
    parser = Balance()
    parser.feed(whole)
    parser.close()
    assert parser.open == []
    return parser


IN_BOTH = (  # headline, leaderboard, coverage, drift
    "2,468", "321", "2025-06-02", "2025-06-04", "+0.0199", "+0.0033 to +0.0366", "0.0601",
    "+0.0311", "+0.0112 to +0.0513", "0.0456",
    "With 299 effective resolved test rows not much can be told.", "1,234", "568", "0.9876", "0.6543", "0.711", "0.583", "0.522",
    "0.97", "-0.31", "0.067", "0.045", "+0.0222", "-0.0077 to +0.0521", "0.0789",
    "0.1578", "-0.2345", "-0.3456 to -0.1234", "0.507",
    "+0.0099", "-0.0088 to +0.0286", "319", "87.3%", "91.2%", "gex_oi", "1.398", "0.263", "0.0417", "7 of 266", "5.75",
    "trees, 0 s: stratified AUC 0.712 above 0.65",
)  # fmt: skip
ON_THE_PAGE = (  # bins and Murphy's parts, dates, parts, importance, ablations, cases
    "0.412", "0.588", "0.313", "0.687", "0.294", "0.801", "0.211",
    "0.605", "0.422", "0.766", "0.2211", "0.0034", "0.0312", "0.2489",
    "0.0007", "0.644", "1.37", "+0.0711", "-0.0222", "+0.0433", "+0.0244",
    "+0.0307", "41.0%", "42.0%", "43.0%", "+0.0522", "+0.0633",
    "+0.0577", "55.0%", "66.0%", "OR_HIGH", "1,357", "+0.0422", "+0.0211 to +0.0633", "86", "-0.0155", "wall_ratio", "0.1537",
    "+0.0266", "+0.0166 to +0.0366", "without tape", "+0.0088", "+0.0012 to +0.0164", "-0.0111", "-0.0205 to -0.0017", "6,076.75",
    "2025-06-04 13:29", "135.3", "25.4%", "36.1%", "38.5%", "34.6%", "41.8%", "23.6%", "28% to 43%", "35% to 49%", "18% to 31%",
    "2025-05-19 PM_LOW DOWN", "5,901.25", "0.876", "-2.75",
)  # fmt: skip


def test_the_numbers_are_there(found, whole):
    words, markdown = " ".join(read(whole).words), text(found)
    for number in IN_BOTH:
        assert number in words, number
        assert number in markdown, number
    for number in ON_THE_PAGE:
        assert number in words, number


def test_the_page_needs_nothing_else(whole):
    """No address, no script, no source, no style from elsewhere; what is referred to is on the page."""
    told = read(whole)
    assert (
        "http:" not in whole
        and "https:" not in whole
        and "src=" not in whole
        and "@import" not in whole
        and "url(http" not in whole
    )
    assert not re.search(r"<(script|iframe|object|embed|img)\b", whole)
    names = {value for _, name, value in told.kept if name == "id"}
    addresses = {value for _, name, value in told.kept if name == "href"}
    assert {one for one in addresses if not one.startswith("#")} == {"data:,"}
    asked = {one[1:] for one in addresses if one.startswith("#")} | set(re.findall(r"url\(#([^)]+)\)", whole))
    assert asked <= names
    every = [value for _, name, value in told.kept if name == "id"]
    assert len(every) == len(set(every))


def test_colours_are_names(whole):
    """A dark page needs them: no picture has a colour of its own."""
    for picture in re.findall(r"<svg.*?</svg>", whole, re.DOTALL):
        assert not re.findall(r"#[0-9a-fA-F]{6}", picture)
    for name in set(re.findall(r"var\(--(\w+)\)", whole)):
        assert len(re.findall(rf"--{name}: #", whole)) == 2, f"{name}: one for a light page, one for a dark one"


def test_the_same_page_twice(found, whole):
    assert page(found) == whole


def test_pictures_show_the_numbers(found):
    """What no table holds is drawn: curves; and the gains with their intervals."""
    roc, precision = report_pictures.curves(found)
    assert roc.axes[0].lines[0].get_xydata().tolist() == [[0, 0], [0.25, 0.625], [1, 1]]
    assert precision.axes[0].lines[0].get_xydata().tolist() == [[0.5, 0.875], [1, 0.5]]
    models, touch, _ = report_pictures.gains(found, "4min")
    assert models.axes[0].lines[1].get_ydata().tolist() == [0.0199, 0.0311]
    drawn = [line.get_xdata() for line in touch.axes[0].lines]
    assert any(np.array_equal(one, [0.0033, 0.0366]) for one in drawn) and any(np.array_equal(one, [0.0199]) for one in drawn)
    bars = report_pictures.importance(found)[1].axes[0].patches
    assert [bar.get_width() for bar in bars] == [0.1537]


def test_beyond_the_range_is_an_arrow_with_its_number(found):
    pooled = report_pictures.gains(found, "4min")[2].axes[0]
    left = pooled.get_xlim()[0]
    assert [one.get_text() for one in pooled.texts] == ["-0.234"] and left > -0.2345
    assert any(line.get_marker() == "<" and line.get_xdata()[0] == left for line in pooled.lines)


# What is said


@pytest.mark.parametrize(
    ("gain", "holm", "expected"),
    [
        ([0.02, 0.01, 0.03], 0.049, "skill"),
        ([0.02, 0.01, 0.03], 0.051, "hint"),
        ([0.02, 0.01, 0.03], None, "hint"),
        ([0.02, -0.01, 0.03], 0.049, "none"),
        ([-0.02, -0.03, -0.01], 1.0, "worse"),
        ([0.02, None, None], None, "unknown"),
    ],
)
def test_verdict(gain, holm, expected):
    assert verdict({"gain": gain, "holm": holm}) == expected


def test_verdict_of_nothing():
    assert verdict(None) == "unknown"


def test_title_and_headline(found):
    assert title(found) == (
        "A leak is suspected. Is there skill, on 3 real dates? At the touch: a hint of skill. All landmarks together: skill."
    )
    told = " ".join(headline(found))
    assert "All 3 dates are of the real market." in told
    assert "corrected for 5 tests 0.0601" in told
    assert "what happened had 2.0% more probability" in told  # exp(.0199) = 1.0201
    assert "The best baseline, base rate, gains +0.0144." in told
    assert "knows nothing of the single touch, gains +0.0144" in told and "gains -0.2345: so much" not in told


def test_simulated_dates_say_so(found):
    simulated = found | {"simulated": 3, "leak": []}
    assert title(simulated).startswith("Is there skill, on 3 simulated dates?")
    assert "nothing of the market" in " ".join(headline(simulated))
    assert "The leak check" in limitations(simulated)[0] and "0.65" in limitations(simulated)[0]
    assert "1 of 3 dates are simulated." in headline(found | {"simulated": 1})


def test_a_leak_is_a_band(found, whole):
    assert '<div class="leak">' in whole and "<li>trees, 0 s: stratified AUC 0.712 above 0.65</li>" in whole
    assert "leak" not in title(found | {"leak": []})


def test_limitations_come_from_the_numbers(found):
    told = "\n".join(limitations(found))
    for words in (
        "with only 3 of them", "The 321 rows at the touch weigh like 568 independent ones", "calibration slope 1.83", "too timid",
        "trees was called best of 2", "5 tests were tried within 4 min: 4 have a p below 0.05, 3 after Holm",
        "Within 4 min nothing is told at 5, 15, 30, 60, 120, 240 s", "being silent at some: retrieval.", "trees at 0 s 87.3%",
        "1 of the 1 touches shown have no close analog", "Since 2025-06-04", "no profit",
    ):  # fmt: skip
        assert words in told, words
    assert "No ablations were made" not in told
    assert "No ablations were made" in "\n".join(limitations(found | {"ablations": None}))
    assert "dates like these 40" in "\n".join(limitations(found | {"dates": [str(one) for one in range(40)]}))


# What is not there


def emptied(value):
    """The same with every number null, flags and names as they are."""
    if isinstance(value, dict):
        return {name: emptied(one) for name, one in value.items()}
    if isinstance(value, list):
        return [emptied(one) for one in value]
    return None if isinstance(value, float) else value


def test_nulls_survive(found):
    whole = page(emptied(found) | {"ablations": None, "leak": []})
    words = " ".join(read(whole).words)
    assert "nan" not in words.lower().split() and "None" not in words
    assert 'id="ablations"' not in whole
    assert "None" not in text(emptied(found))


def test_a_scorer_without_p(found):
    without = deepcopy(found)
    for one in without["horizons"]["4min"]:
        one["p"] = one["holm"] = one["stratified"] = one["slope"] = None
    assert "p unknown, corrected for 0 tests unknown" in text(without)


def test_only_geometry():
    """No member, no case, nothing to compare: a page all the same."""
    bare = {
        "date": "2025-06-02", "dates": ["2025-06-02"], "rows": 12, "touches": 3, "simulated": 0, "best": None, "power": "Nothing.",
        "horizons": {"4min": [score("geometry", 0, [0.0, None, None], p=1.0, holm=None)], "2min": [], "8min": []},
        "reliability": {"geometry": {}}, "curves": {"geometry": {}}, "over_time": {}, "by": {},
        "coverage": {}, "cases": [], "leak": [],
        "importance": {"features": [], "families": []}, "ablations": None,
        "drift": {"features": [], "beyond": 0, "of": 0, "flagged": None, "excess": [], "dates": []},
    }  # fmt: skip
    whole = page(bare)
    words = " ".join(read(whole).words)
    assert '<div class="leak">' not in whole
    assert "No model was tested." in words and "on 1 real date?" in words and "A single date knows no spread" in words
    assert "Nothing to tell." in text(bare)


def test_a_single_date(found):
    one = deepcopy(found) | {"dates": ["2025-06-04"]}
    for score in (*one["horizons"]["4min"], *one["horizons"]["2min"]):
        score["gain"][1:] = [None, None]
    for told in one["over_time"].values():
        for name in told:
            told[name] = told[name][-1:]
    one["drift"] |= {"flagged": None, "excess": [0.0], "dates": ["2025-06-04"]}
    read(page(one))
    assert "too little to tell" in title(one)
    assert "judges no date before it has seen" in text(one)


def test_text_is_escaped(found):
    """Words from outside stay words: in HTML, in a picture, in Markdown; a dollar is no formula."""
    evil = deepcopy(found)
    evil["by"]["level"][0]["value"] = "<b>$x$"
    evil["cases"][0]["level"] = evil["cases"][0]["neighbours"][0]["level"] = "<script>&"
    evil["horizons"]["4min"][0]["name"] = "a|<i>b"
    evil["leak"] = ["<u>"]
    evil["drift"]["features"][0]["name"] = "<s>|"
    whole, markdown = page(evil), text(evil)
    told = read(whole)
    assert not re.search(r"<(b|i|u|s|script)>(?!Too good)", whole)
    assert {"<b>$x$", "a|<i>b", "<u>", "<s>|"} <= {word.strip() for word in told.words}
    assert any("<script>&" in word for word in told.words)
    assert "a\\|&lt;i&gt;b" in markdown and "<i>" not in markdown and "&lt;s&gt;\\|" in markdown


def test_markdown_tables_have_as_many_cells_in_each_row(found):
    for block in text(found).split("\n\n"):
        if block.startswith("|"):
            assert len({line.count(" | ") for line in block.splitlines()}) == 1


def test_landmarks_come_in_order(found):
    rows = [row for row in report_tables.leaderboard(found, "4min", (0, -1))[1] if isinstance(row, str)]
    assert rows == ["at the touch", "all landmarks together"]
