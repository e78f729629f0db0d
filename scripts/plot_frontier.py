"""Figure "frontier": the drop that poisoned features cost against their norm cap, beside the norms of real
images' features."""

import math
from functools import partial
from pathlib import Path

import numpy as np
from featpoison import store
from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import frontier, style
from featpoison.results.bootstrap import contrast
from featpoison.results.claims import Key
from featpoison.results.judging import STREAM
from featpoison.results.samples import VICTIMS, SampleError, Samples, read_files


def main() -> None:
    """Result files, feature cache, clean heads, norms -> picture."""
    parser = program.parser(__doc__)
    text = "JSON: the scenario's features and clean heads; results as rows with budget, result file and title"
    parser.add_argument("--results", required=True, help=text)
    parser.add_argument("--images", type=Path, nargs="*", default=[], help="result files of image attacks")
    parser.add_argument("--names", nargs="*", default=[], help="a name for each of --images")
    parser.add_argument("--norms", type=Path, required=True, help="what measure_norms.py wrote")
    parser.add_argument("output", type=Path, nargs="+", help="the picture, one path per form (.pdf, .png)")
    args = program.start(parser)
    if len(args.names) != len(args.images):
        parser.error(f"--names: {len(args.names)} names, expected one for each of {len(args.images)} files")
    samples = Samples(read_files(args.results))
    record = program.record(args, [*samples.inputs, *args.images, args.norms], {"stream": STREAM})
    try:
        series = [one for victim in VICTIMS for one in series_of(samples, victim)]
    except SampleError as error:
        raise SystemExit(str(error)) from None
    norms = clean_norms(args.norms)
    norms += [image_norm(name, path) for name, path in zip(args.names, args.images, strict=True)]
    norms.append(longest(args.norms))
    picture = frontier.draw(series, norms, samples.keys[0].eps_d)
    write(args.output, record, partial(style.save, picture))


def series_of(samples: Samples, victim: str) -> list[frontier.Series]:
    """The results by attack and target, in order of their caps."""
    groups: dict[str, list[Key]] = {}
    for key in samples.keys:
        name = samples.title(key) + ("" if key.target is None else f", target {key.target}")
        groups.setdefault(name, []).append(key)
    result = []
    for name, keys in groups.items():
        keys.sort(key=_cap)
        drops = tuple(contrast(samples.sample(key, victim, STREAM)) for key in keys)
        result.append(frontier.Series(name, victim, tuple(map(_cap, keys)), drops))
    return result


def _cap(key: Key) -> float:
    return math.inf if isinstance(key.set, str | None) else key.set


def clean_norms(path: Path) -> list[frontier.Norm]:
    """The middle nine tenths of the clean training images, and their longest one."""
    arrays = store.read(path, "shares", "clean_norms")
    at = {float(share): float(norm) for share, norm in zip(*arrays.values(), strict=True)}
    return [
        frontier.Norm("clean images, 5 to 95 %", at[0.05], at[0.95]),
        _mark("longest clean image", at[1.0]),
    ]


def _mark(name: str, norm: float) -> frontier.Norm:
    return frontier.Norm(name, norm, norm)


def image_norm(name: str, path: Path) -> frontier.Norm:
    """Poison images: the smallest and the largest mean norm over the poison seeds."""
    ratios = store.read(path, "feature_magnitude_ratio")["feature_magnitude_ratio"]
    return frontier.Norm(name, float(np.min(ratios)), float(np.max(ratios)))


def longest(path: Path) -> frontier.Norm:
    """The largest norm that ascent finds among valid images."""
    return _mark("longest that ascent finds", float(store.read(path, "norms")["norms"].max()))


if __name__ == "__main__":
    main()
