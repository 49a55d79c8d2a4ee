"""Writes what is derived: docs/options.md and docs/recipes.md from the dataclasses and recipes, and the tables of docs/results.md and README.md
from the figures that the benchmarks left in docs/figures/. So no default and no figure stands in two places. A test compares.

Run: python docs/generate.py
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from pathlib import Path
from typing import get_args, get_type_hints

from twoviews.bench.show import number as short
from twoviews.evaluate.config import CompareConfig, DetectConfig, DistillConfig, EvalConfig, FinetuneConfig, TransferConfig
from twoviews.formats.config import ExportConfig
from twoviews.pages.config import ReportConfig, ServeConfig
from twoviews.sources.config import ShardConfig
from twoviews.studies.catalog import STUDIES
from twoviews.studies.config import PaperConfig
from twoviews.studies.report import markdown
from twoviews.training.config import TrainConfig
from twoviews.training.recipes import RECIPES
from twoviews.vectors.config import DuplicatesConfig, EmbedConfig, SearchConfig, SelectConfig

HERE = Path(__file__).parent


def shown(value: object) -> str:
    if value == "":
        return "none"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(value)


def rows(config: type) -> list[str]:
    hints = get_type_hints(config)
    out = ["| option | default | meaning |", "| --- | --- | --- |"]
    for field in dataclasses.fields(config):
        choices = get_args(hints[field.name])
        allowed = f" ({', '.join(map(str, choices))})" if choices and choices[-1] is not Ellipsis else ""
        text = field.metadata["help"].replace("|", "\\|")
        out.append(f"| `{field.name}` | {shown(field.default)} | {text}{allowed} |")
    return out


VERBS = {
    "knn and linear": EvalConfig,
    "compare": CompareConfig,
    "finetune": FinetuneConfig,
    "transfer": TransferConfig,
    "detect": DetectConfig,
    "distill": DistillConfig,
    "embed": EmbedConfig,
    "search": SearchConfig,
    "duplicates": DuplicatesConfig,
    "select": SelectConfig,
    "shard": ShardConfig,
    "report": ReportConfig,
    "serve": ServeConfig,
    "export": ExportConfig,
    "paper": PaperConfig,
}


def options() -> str:
    parts = [
        "# Every option",
        "",
        "Written by docs/generate.py from the dataclasses that the program itself uses. On the command line `batch` is `--batch`, `log_every` is",
        "`--log-every`; in Python they are keyword arguments of `tv.train`, `tv.knn` and so on. A recipe changes the defaults by name.",
        "",
        "## train",
        "",
        *rows(TrainConfig),
        "",
        f"A run goes on only with the same values, except for {', '.join(f'`{name}`' for name in sorted(TrainConfig.free()))}.",
        "",
    ]
    for title, config in VERBS.items():
        parts += [f"## {title}", "", *rows(config), ""]
    parts.pop()
    return "\n".join(parts) + "\n"


def recipes() -> str:
    parts = [
        "# Recipes",
        "",
        "A recipe is a named set of values (`--recipe NAME`); options given beside it win. Without one, `auto` chooses by the pictures: `digits` for",
        "that set, `cifar10` for 5,000 or more pictures of up to 40 px, `photos` for up to 50,000 others, `paper` above. Written by docs/generate.py.",
        "What each reached here, with protocol and command, stands in [results.md](results.md).",
        "",
    ]
    for name, recipe in RECIPES.items():
        parts += [f"## {name}", "", f"{recipe.source[0].upper()}{recipe.source[1:]}.", ""]
        if recipe.expected:
            parts += [f"Its source reached: {recipe.expected}. Not run here at that scale.", ""]
        if recipe.cost:
            parts += [f"Cost there: {recipe.cost}.", ""]
        parts += [
            f"    twoviews plan IMAGES --recipe {name}       # what it takes on your machine, measured",
            f"    twoviews train IMAGES --out runs/{name} --recipe {name}",
            "",
        ]
        if recipe.values:
            parts += ["| option | value |", "| --- | --- |", *(f"| `{k}` | {shown(v)} |" for k, v in recipe.values.items()), ""]
        else:
            parts += ["The defaults of [options.md](options.md).", ""]
    return "\n".join(parts)


def figure(data: dict) -> str:
    """« 86.8 ± 0.7 », the larger half of the 95 % interval."""
    return f"{100 * data['mean']:.1f} ± {100 * max(data['high'] - data['mean'], data['mean'] - data['low']):.1f}"


def read(name: str) -> dict:
    return json.loads((HERE / "figures" / f"{name}.json").read_text(encoding="utf-8"))


def machine(data: dict) -> str:
    m = data["machine"]
    return f"{m['date']}, {m['cpu']}, {m['cores']} cores, Python {m['python']}, torch {m['torch']}, torchvision {m['torchvision']}"


def table(head: list[str], body: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |", *(f"| {' | '.join(row)} |" for row in body)]


def demo() -> list[str]:
    data = read("demo")
    rows = data["linear"]["rows"] + [{**row, "labels": "kNN"} for row in data["knn"]["rows"]]
    columns = list(dict.fromkeys(row["labels"] for row in rows))
    heads = ["", *(c if c == "kNN" else f"linear, {c}{' labels' if c == 'all' else ''}" for c in columns)]
    names = list(dict.fromkeys(row["subject"] for row in rows))
    return table(heads, [[n, *(figure(r["top1"]) for c in columns for r in rows if (r["subject"], r["labels"]) == (n, c))] for n in names])


def cifar() -> list[str]:
    data = read("cifar_curve")
    ours, theirs = data["curves"]["twoviews"], data["curves"]["lightly"]
    body = [["0", "", f"{100 * data['untrained']['knn']:.1f}", f"{100 * data['untrained']['linear']:.1f}", "", "", ""]]
    for a, b in zip(ours, theirs, strict=True):
        cells = [f"{100 * x[k]:.1f}" for x in (a, b) for k in ("knn", "linear")]
        body.append([str(a["epoch"]), f"{a['seconds']:.0f}", *cells[:2], f"{b['seconds']:.0f}", *cells[2:]])
    heads = ["epoch", "twoviews, s", "kNN", "linear", "lightly, s", "kNN", "linear"]
    s = data["settings"]
    text = (
        f"{s['count']:,} pictures, {s['labelled']:,} labels, {s['tested']:,} test pictures (95 % interval of one figure about ± 1.4). "
        f"Time of lightly's loop / ours: {data['lightly_over_twoviews_seconds']:.2f}. {machine(data)}."
    )
    return [*table(heads, body), "", text]


def small_sets() -> list[str]:
    data = read("small_sets")
    out = []
    for name, found in data["sets"].items():
        columns = list(dict.fromkeys((r["verb"], r["labels"]) for r in found["rows"]))
        names = list(dict.fromkeys(r["subject"] for r in found["rows"]))
        heads = [
            f"{name}, {found['pictures']} pictures",
            *("kNN" if v == "knn" else f"linear, {c}{' labels' if c == 'all' else ''}" for v, c in columns),
        ]
        body = [
            [n, *(figure(r["top1"]) for v, c in columns for r in found["rows"] if (r["subject"], r["verb"], r["labels"]) == (n, v, c))]
            for n in names
        ]
        out += [*table(heads, body), ""]
    return [*out, f"{machine(data)}."]


def at(series: dict, name: str, x: str, factor: float = 1.0) -> str:
    """A value of a benchmark's series, or nothing where it was not measured."""
    value = series.get(name, {}).get(x)
    return "" if value is None else short(value * factor)


def loss() -> list[str]:
    data = read("bench_loss")
    times, memory = data["seconds"], data["bytes"]
    ours, names, body = times["twoviews"], ["definition", "lightly", "pytorch-metric-learning"], []
    for x, own in ours.items():
        ratio = f"{times['lightly'][x] / own:.1f}" if x in times["lightly"] else ""
        share = f"{times['matrix products alone'][x] / own:.2f}"
        body.append(
            [
                f"{int(x):,}",
                short(own * 1e3),
                *(at(times, n, x, 1e3) for n in names),
                ratio,
                share,
                *(at(memory, n, x, 1e-6) for n in ("twoviews", "lightly")),
            ]
        )
    heads = [
        "pairs n",
        "twoviews, ms",
        "definition",
        "lightly",
        "pytorch-metric-learning",
        "lightly / twoviews",
        "matrix products alone / twoviews",
    ]
    text = (
        f"Forward and backward, z of {data['features']}, float32. n = 32,768 took {ours['32768'] / ours['8192']:.1f} times n = 8,192. Memory is the peak "
        f"beyond what there was before the call, gradients included. {machine(data)}."
    )
    return [*table([*heads, "twoviews, MB", "lightly, MB"], body), "", text]


def views() -> list[str]:
    data = read("bench_views")
    rates, files = data["images_per_second"], data["files"]
    names = list(rates)
    body = [
        [x, *(at(rates, n, x) for n in names), *(f"{rates['twoviews'][x] / rates[n][x]:.1f}" for n in ("lightly", "kornia"))]
        for x in rates["twoviews"]
    ]
    f = files["images_per_second"]
    text = (
        f"From JPEG files, views of {files['size']} px, {files['workers']} workers: twoviews {f['twoviews']:.0f}, lightly {f['lightly']:.0f} pictures a second, "
        f"**{f['twoviews'] / f['lightly']:.1f}** times. {machine(data)}."
    )
    return [*table(["pixels", *names, "twoviews / lightly", "twoviews / kornia"], body), "", text]


def step() -> list[str]:
    data = read("bench_step")
    rates, loops = data["images_per_second"], data["loops"]
    names = list(rates)
    widths = list(dict.fromkeys(name.split("width ")[1] for name in names))
    body = []
    for width in widths:
        whole, bare = (rates[f"{kind}, width {width}"] for kind in ("whole", "bare"))
        body += [[width, x, short(whole[x]), short(bare[x]), f"{whole[x] / bare[x]:.3f}"] for x in whole]
    kinds = ("twoviews", "memory given back", "compiled", "lightly")
    ends = [[w, *(short(v[k]) if k in v else "" for k in kinds), f"{v['ratio']:.2f}"] for w, v in loops.items() if w != "batch"]
    return [
        *table(["width", "batch", "whole step, images/s", "bare step", "whole / bare"], body),
        "",
        *table(
            [
                "width",
                f"twoviews, images/s, batch {loops['batch']}",
                "without keeping freed memory",
                "with --compile",
                "lightly's loop",
                "ratio",
            ],
            ends,
        ),
        "",
        f"{machine(data)}.",
    ]


def chunk() -> list[str]:
    data = read("chunk")
    body = [[f"{r['batch']:,}", str(r["chunk"] or "–"), short(r["bytes"] / 1e6), short(r["batch"] / r["seconds"])] for r in data["rows"]]
    return [*table(["batch", "chunk", "memory, MB", "images/s"], body), "", f"{machine(data)}."]


AMOUNTS = {"10 per class": "10", "40 per class": "40", "100 per class": "100", "500 per class": "500", "all": "all (5,000)"}


def cifar_labels() -> list[str]:
    data = read("cifar_labels")
    by = {(row["subject"], row["labels"]): row for row in data["rows"]}
    names = list(dict.fromkeys(row["subject"] for row in data["rows"]))
    body = [[n, *(figure(by[n, a]["top1"]) if (n, a) in by else "" for a in AMOUNTS)] for n in names]
    text = (
        f"Labels a class; 10,000 test pictures. Pretraining took {data['seconds_of_pretraining'] / 60:.0f} minutes (other work ran beside it). "
        f"{machine(data)}."
    )
    return [*table(["", *AMOUNTS.values()], body), "", text]


def detect() -> list[str]:
    data = read("detect")
    classes = data["boxes"]["classes"]
    rows = [*data["rows"], *({**row, "subject": f"{row['subject']}, 6 epochs"} for row in data["short"])]
    body = [
        [
            row["subject"],
            *(f"{100 * row[k]:.1f}" for k in ("map", "map_50")),
            *(f"{100 * row['map_per_class'][c]:.1f}" for c in classes),
            " → ".join(f"{100 * line['validation']['map']:.1f}" for line in row["history"] if "validation" in line),
            f"{row['seconds']:.0f}",
        ]
        for row in rows
    ]
    heads = ["encoder", "mAP", "IoU 0.5", *classes, "mAP on validation as it learns", "seconds"]
    return [*table(heads, body), "", f"{machine(data)}."]


def distill() -> list[str]:
    data = read("distill")
    body = [[row["subject"], f"{row['parameters'] / 1e3:,.0f}", figure(row["top1"])] for row in data["rows"]]
    return [*table(["", "thousand weights", "top-1"], body), "", f"{machine(data)}."]


def select() -> list[str]:
    data = read("select")
    counts = list(next(iter(data["top1"].values())))
    body = [[name, *(figure(found[n]) for n in counts)] for name, found in data["top1"].items()]
    return [*table(["", *(f"{n} labels" for n in counts)], body), "", f"{data['draws']} draws, Student's t. {machine(data)}."]


def search() -> list[str]:
    data = read("search")
    body = [
        [
            f"{r['queries']:,}",
            short(r["search"] * 1e3),
            short(r["product"] * 1e3),
            short(r["definition"] * 1e3),
            f"{r['product'] / r['search']:.2f}",
        ]
        for r in data["rows"]
    ]
    heads = ["queries", "search, ms", "bare matrix product", "definition (product, then topk)", "product / search"]
    return [*table(heads, body), "", f"{data['vectors']:,} vectors of {data['features']}, k = {data['k']}. {machine(data)}."]


def kill() -> list[str]:
    data = read("kill")
    body = [
        [
            f"`{verb}`",
            str(found["kills"]),
            ", ".join(f"{place} {n}" for place, n in found["places"].items()),
            str(found["files"]),
            found["sha256"][:16],
            "equal" if found["equal"] else "NOT EQUAL",
        ]
        for verb, found in data["jobs"].items()
    ]
    heads = ["job", "kills", "where", "files compared", "sha256 of all", "beside never killed"]
    return [*table(heads, body), "", f"{machine(data)}."]


def fuzz() -> list[str]:
    data = read("fuzz")
    body = [[name, f"{f['inputs']:,}", f"{f.get('read', 0):,}", f"{f.get('refused', 0):,}"] for name, f in data["parsers"].items()]
    return [
        *table(["parser", "inputs", "read", "refused"], body),
        "",
        f"{data['inputs']:,} inputs in all, seed {data['seed']}. {machine(data)}.",
    ]


def ugly() -> list[str]:
    def said(row: dict) -> str:
        if "opened" in row:
            channels, height, width = row["opened"]
            more = f", first of {row['frames']} frames" if row["frames"] > 1 else ""
            return f"opened: {width} × {height}, {channels} channels{more}"
        return f"left out: {row['refused']}"

    body = []
    for row in json.loads((HERE / "figures" / "ugly.json").read_text(encoding="utf-8")):
        text = said(row) + (f"; with `{row['named']['options']}` {said(row['named'])}" if "named" in row else "")
        what = row["what"][:100]
        body.append([cell(what), cell(text)])
    return table(["file", "what happens"], body)


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def orders() -> list[str]:
    data = read("shuffle")
    body = [
        [
            f"{r['pictures']:,}",
            f"{r['shard']:,}" if r["shard"] else "none",
            str(r["window"]) if r["shard"] else "all",
            f"{r['seconds_to_begin']:.2f}",
            f"{r['milliseconds_a_batch']:.2f}",
            f"{r['megabytes']:.0f}",
        ]
        for r in data["costs"]
    ]
    heads = ["pictures", "a shard", "window", "seconds to begin", "ms a batch", "peak MB"]
    return [*table(heads, body), "", f"{machine(data)}."]


def mixing() -> list[str]:
    data = read("shuffle")
    body = [
        [
            "mixed" if r["mixed"] else "class by class",
            str(r["window"]),
            f"{r['distinct_classes']:.0f}",
            f"{100 * r['pairs_of_one_shard']:.1f} %",
        ]
        for r in data["mixing"]
    ]
    return table(["shards written", "window", "classes in a batch", "pairs of a batch from one shard"], body)


def million() -> list[str]:
    data = read("million")
    names = {"ours": "twoviews", "torchvision": "ImageFolder + DataLoader"}
    body = [
        [
            text,
            f"{data[name]['seconds_to_begin']:.1f}",
            f"{data[name]['megabytes_to_begin']:.0f}",
            f"{data[name]['pictures_per_second']:,.0f}",
            f"{data[name]['megabytes'][0]} → {data[name]['megabytes'][-1]}",
        ]
        for name, text in names.items()
    ]
    heads = ["", "seconds to begin", "MB more after it", "pictures a second", "MB with readers, first → tenth round"]
    return [*table(heads, body), "", f"{data['files']:,} files. {machine(data)}."]


def flat() -> list[str]:
    data = read("million")
    held, epochs = data["digits"]["megabytes"], data["digits"]["epochs"]
    shown = [held[0], held[len(held) // 10 - 1], held[len(held) // 2 - 1], held[-1]]
    return [
        f"A process that trains on digits, after epochs 1, {epochs // 10}, {epochs // 2} and {epochs}: {', '.join(map(str, shown))} MB. A million files: "
        f"{', '.join(map(str, data['ours']['megabytes']))} MB with its readers over ten rounds of {data['each']:,} pictures. {machine(data)}."
    ]


def families() -> list[str]:
    data = read("timm_families")
    done = {name: f for name, f in data["families"].items() if "outcome" in f}
    body = [
        [
            name,
            f["model"].partition(":")[2],
            f"{f['weights'] / 1e6:.1f}" if f["weights"] else "–",
            f.get("before", "–"),
            f["outcome"],
            f["why"],
        ]
        for name, f in done.items()
    ]
    count = {outcome: sum(f["outcome"] == outcome for f in done.values()) for outcome in ("trained", "refused")}
    rest = len(done) - sum(count.values())
    before = sum(f.get("before", "trained") != "trained" for f in done.values())
    made = ", ".join(f"{name} {number}" for name, number in data["versions"].items())
    return [
        f"{len(done)} families at {data['size']} pixels: {count['trained']} train, {count['refused']} are refused in words before anything is "
        f"written, {rest} end otherwise. Before there were trials {before} of them broke in the first step and left a RUN. {made}.",
        "",
        *table(["family", "smallest member", "million weights", "before", "now", ""], body),
    ]


def pages() -> list[str]:
    data = read("pages")
    r, v = data["report"], data["serve"]
    return [
        f"A report with {r['points']:,} pictures on its map has {r['megabytes']:.1f} MB, opens in {r['seconds_to_open']:.1f} s, and while zooming and hovering shows a frame "
        f"every {r['frame_median_ms']:.0f} ms (95 % below {r['frame_95_ms']:.0f} ms; headless Chromium without a GPU). `serve` answers for {v['pictures']:,} pictures of "
        f"{v['features']} features in {v['median_ms']:.0f} ms (worst of a hundred {v['worst_ms']:.0f} ms). {machine(data)}; `python benchmarks/pages.py`.",
    ]


TABLES = {
    "families": families,
    "demo": demo,
    "cifar": cifar,
    "small_sets": small_sets,
    "loss": loss,
    "views": views,
    "step": step,
    "chunk": chunk,
    "kill": kill,
}
TABLES |= {"fuzz": fuzz, "ugly": ugly, "orders": orders, "mixing": mixing, "million": million, "flat": flat}
TABLES |= {"cifar_labels": cifar_labels, "detect": detect, "distill": distill, "select": select, "search": search, "pages": pages}


def study(name: str) -> list[str]:
    """A study of the paper, as its own table.md has it, without the title."""
    data = read(f"paper_{name}")
    found = STUDIES[data["name"]]
    lines = markdown(found, data["about"], data["rows"], data["findings"]).strip().splitlines()[2:]
    epochs, seeds = data["about"]["scale"]["values"]["epochs"], len(data["about"]["seeds"])
    command = (
        f"twoviews paper {name} CIFAR_FOLDER --epochs {epochs} --seeds {seeds} --precision {data['about']['scale']['values']['precision']}"
    )
    return [*lines, "", f"`{command}`, with other work beside it. {machine(data)}."]


TABLES |= {f"paper_{name}": functools.partial(study, name) for name in ("figure5", "table5", "figure8", "figure9", "table4")}


def filled(page: Path) -> str:
    """A page with each `<!-- begin NAME -->` … `<!-- end NAME -->` filled anew."""

    def fill(match: re.Match) -> str:
        return f"<!-- begin {match[1]} -->\n\n" + "\n".join(TABLES[match[1]]()) + f"\n\n<!-- end {match[1]} -->"

    return re.sub(r"<!-- begin (\w+) -->.*?<!-- end \1 -->", fill, page.read_text(encoding="utf-8"), flags=re.S)


FILLED = (
    HERE / "looking.md",
    HERE / "networks.md",
    HERE / "paper.md",
    HERE / "results.md",
    HERE / "pictures.md",
    HERE / "scale.md",
    HERE / "reliability.md",
    HERE.parent / "README.md",
)

if __name__ == "__main__":
    (HERE / "options.md").write_text(options(), encoding="utf-8")
    (HERE / "recipes.md").write_text(recipes(), encoding="utf-8")
    for page in FILLED:
        page.write_text(filled(page), encoding="utf-8")
