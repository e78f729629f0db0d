"""The report: that it opens with what was found, and holds what there is."""

import base64
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from test_graph import MADE

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EMBEDDED = re.compile(r'"name": "([^"]+)".*?"data_uri": "data:([a-z/-]+);[^"]*?base64,([^"]*)"', re.DOTALL)


@pytest.fixture(scope="module")
def report(finished, tmp_path_factory) -> Path:
    toy = finished.copied(tmp_path_factory.mktemp("report") / "toy")
    toy.run("--report", "report.html")
    return toy.folder / "report.html"


@pytest.mark.slow
def test_the_report_holds_every_table_and_figure_byte_for_byte(finished, report):
    found = {name: base64.b64decode(content) for name, _, content in EMBEDDED.findall(report.read_text())}
    output = finished.folder / "figures/toy"
    shown = [path for path in output.iterdir() if path.suffix in (".png", ".pdf", ".tex", ".md")]
    assert len(shown) == 2 * len(MADE) + 3 + 1  # figures, the table, the claims
    assert found == {path.name: path.read_bytes() for path in shown}


def opening(report: Path) -> str:
    """The page that a report opens with, as HTML."""
    return json.loads(re.search(r"var workflow_desc = (.*);\n", report.read_text())[1])


@pytest.mark.slow
def test_the_report_opens_with_what_was_found(finished, report):
    """The table, the claims in the words and numbers of their page, figures of ours; all by their paths."""
    page = opening(report)
    shown = re.findall(r"results\['([^']*)'\]", page)
    assert shown == ["figures/toy/table1.png", "figures/toy/reach.png"]
    claims = (finished.folder / "figures/toy/claims.md").read_text()
    lines = re.findall(r"^\| (\d+) \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", claims, re.MULTILINE)
    rows = re.findall(r"<tr>((?:<td>.*?</td>)+)</tr>", page)
    assert [tuple(re.findall("<td>(.*?)</td>", html.unescape(row))) for row in rows] == lines
    assert len(lines) == 10
    not_run = sum(line[2] == "not run" for line in lines)
    assert f"{not_run} not run" in re.search(r"<b>sgd100</b>: (.*?)</p>", page)[1]
    assert "What a target head costs" in page  # the caption of reach


@pytest.mark.slow
def test_a_report_of_some_results_opens_with_these(copy):
    """Of a run that has not come to its end."""
    output = copy.folder / "figures/toy"
    for path in [*output.glob("claims*"), *output.glob("reach.p*"), output / "figure1.pdf"]:
        path.unlink()
    shutil.rmtree(copy.folder / "data/reach")
    done = copy.run("--report", "some.html")
    assert "Missing metadata" not in done.stderr
    report = (copy.folder / "some.html").read_text()
    page = opening(copy.folder / "some.html")
    assert re.findall(r"results\['([^']*)'\]", page) == ["figures/toy/table1.png"]
    assert "<td>" not in page
    names = {name for name, _, _ in EMBEDDED.findall(report)}
    assert {"table1.png", "figure2.pdf"} <= names
    assert not {"claims.md", "reach.png", "figure1.png"} & names
    shutil.rmtree(output)
    copy.run("--report", "none.html")
    assert "Nothing that a report shows has been made yet." in opening(copy.folder / "none.html")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine (Debian: chromium)")
def test_the_report_opens_in_a_browser(report, tmp_path):
    """Its own page renders without an error on the console, and each of its images decodes."""
    shown = re.findall(r'"data_uri": "(data:image/png;[^"]*)"', report.read_text())
    pictures = tmp_path / "pictures.html"
    pictures.write_text(
        "<title>waiting</title>"
        + "".join(f'<img src="{uri}">' for uri in shown)
        + "<script>onload = () => document.title = [...document.images]"
        ".filter(image => image.complete && image.naturalWidth > 100).length + ' decoded'</script>"
    )
    page, errors = browse(report)
    menu = re.sub(r"<script.*?</script>|<[^>]*>", " ", page, flags=re.DOTALL).split()  # empty without scripts
    assert {"Results", "Claims", "Figures", "Tables", "Statistics", "found"} <= set(menu)
    opened = re.findall(r'<img [^>]*alt="(?:table1|reach).png"[^>]*src="data:image/png', page)
    assert len(opened) == 2
    assert not errors
    page, errors = browse(pictures)
    assert f"<title>{len(shown)} decoded</title>" in page
    assert not errors


def browse(path: Path) -> tuple[str, list[str]]:
    """The page as a browser makes it, and the errors on its console."""
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--virtual-time-budget=20000",
        "--dump-dom",
    ]
    done = subprocess.run(
        [BROWSER, *options, path.as_uri()], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout, [
        line for line in done.stderr.splitlines() if "CONSOLE" in line and "INFO:CONSOLE" not in line
    ]
