"""The report: how long it takes to make, and a browser to draw, beside an empty page of the same size."""

import json
import pathlib
import shutil
import statistics
import subprocess
import time

LOOK = pathlib.Path(__file__).parent.parent.parent / "browser" / "look.mjs"
# Ready is what the report means by it: two frames after the last thing was drawn.
EMPTY = """<!doctype html><meta charset="utf-8"><title>empty</title><p>empty</p><script type="application/json">%s</script>
<script>requestAnimationFrame(() => requestAnimationFrame(() => { document.documentElement.dataset.ready = Math.round(performance.now()); }));</script>
"""


def look(browser, page):
    """Milliseconds from the page's being asked for until it was drawn, by its own account."""
    said = subprocess.run(["node", LOOK, browser, shutil.which("chromium"), f"file://{page}", "--ready"], capture_output=True, text=True, check=True).stdout
    seen = json.loads(said)
    if seen["errors"]:
        raise SystemExit(f"error: the browser complains of {page}: {seen['errors']}")
    return seen["ready"]


def measure(dayfly, lay_out, browser, folder, sizes, rounds):
    """For each (tasks, agents): the page's bytes, how long it took to make, to draw, and to draw nothing."""
    figures = []
    for tasks, agents in sizes:
        place, page, empty = folder / "report", folder / "report.html", folder / "empty.html"
        subprocess.run([lay_out, place, str(tasks), str(agents)], check=True)
        made, drawn, nothing = [], [], []
        for _ in range(rounds):
            begun = time.monotonic()
            subprocess.run([dayfly, "report", "--local", place, "-o", page, "--quiet"], check=True)
            made.append(time.monotonic() - begun)
            size = page.stat().st_size
            empty.write_text(EMPTY % ("x" * (size - len(EMPTY))))
            drawn.append(look(browser, page))
            nothing.append(look(browser, empty))
        shutil.rmtree(place)
        figures.append({"tasks": tasks, "agents": agents, "bytes": size, "made": statistics.median(made), "drawn": statistics.median(drawn),
                        "times_empty": statistics.median(a / b for a, b in zip(drawn, nothing))})
    return figures
