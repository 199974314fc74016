"""The sections of a report about a single run."""

from dataclasses import dataclass, replace
from functools import cached_property

from lit_gan.errors import written
from lit_gan.figures.style import starred
from lit_gan.figures.training_curves import Panel, draw_panels, read_panels
from lit_gan.records.layout import metrics_path
from lit_gan.records.score_names import short_ends, split_names
from lit_gan.reporting import findings
from lit_gan.reporting.collect import SweepRun
from lit_gan.reporting.comparison import caveat_note
from lit_gan.reporting.gallery import Film, Strip
from lit_gan.reporting.page import CaptionedFigure, Part, Section
from lit_gan.reporting.samples import samples_by_update, spread
from lit_gan.reporting.sections import Writer
from lit_gan.reporting.tables import Table, measured_number

FRAMES_OF_RUN = 18
"""So many updates of its training are shown of a single run."""
CURVES_OF_RUN = (
    "The curves of metrics.csv against generator updates; the lengths of the players' gradients are among them where "
    "the run has callbacks=[default,gradient_norms]."
)
FILM_OF_RUN = "What G makes of the same latent vectors during the training."
SCORED = ("checkpoint", "update", "weights", "protocol")


@dataclass(frozen=True)
class RunWriter(Writer):
    """Writes the sections about one run, the only cell of its sweep."""

    @property
    def run(self) -> SweepRun:
        """The run."""
        return self.sweep.runs[0]

    @property
    def part(self) -> Part:
        """What the page says of the run."""
        return Part(self.sweep.view.title, self.sections())

    @cached_property
    def panels(self) -> list[Panel]:
        """The curves of the training: losses, gradient norms, D's outputs, scores."""
        return read_panels(metrics_path(self.run.cell.directory))

    def sections(self) -> list[Section]:
        """All sections that have something to show."""
        sections = [
            Section("Curves", "", [self.curves_figure()] if self.panels else []),
            Section("Samples over the training", FILM_OF_RUN, galleries=self.film()),
            Section("Scores", tables=self.score_tables()),
            self.unfinished(),
            self.warnings(),
            replace(self.what_was_run(), hidden=[]),
        ]
        return [section for section in sections if not section.empty]

    def curves_figure(self) -> CaptionedFigure:
        """The figure of all curves, as `curves.png` of the run."""
        ends = short_ends(self.run.cell.results)
        title = f"{self.run.cell.state} at update {findings.progress(self.run.cell.results)}"
        return CaptionedFigure(f"{self.prefix}curves", CURVES_OF_RUN, draw_panels(self.panels, title, ends))

    def film(self) -> list[Film]:
        """The samples over the training."""
        files = samples_by_update(self.run.cell.directory)
        updates = spread(list(files), FRAMES_OF_RUN)
        return [Film(updates, [Strip("", "", [files[update] for update in updates])])] if files else []

    def score_tables(self) -> list[Table]:
        """The scores after the training, and those during it."""
        results = self.run.cell.results
        after = [record for record in (results.get("final"), *results.get("evaluations", [])) if record]
        groups = [("scores", "Scores after the training", after)]
        groups += [("course", "Scores during the training", results.get("course", []))]
        return [record_rows(f"{self.prefix}{name}", title, records) for name, title, records in groups if records]


def record_rows(name: str, title: str, records: list[dict]) -> Table:
    """A row for each record of an evaluation, a column for each score."""
    scores = list(dict.fromkeys(score for record in records for score in record["scores"]))
    extractor, short = split_names(scores)
    caveats = {score: caveat for record in records for score, caveat in record.get("caveats", {}).items()}
    protocols = protocol_names(records)
    rows = [
        [
            *(str(record.get(key, "")) for key in SCORED[:-1]),
            protocol,
            *(measured_number(record["scores"].get(score)) for score in scores),
        ]
        for record, protocol in zip(records, protocols, strict=True)
    ]
    columns = [starred(column, caveats.get(score)) for score, column in short.items()]
    notes = "".join(map(caveat_note, dict.fromkeys(caveats.values())))
    return Table(name, (f"{title}, {extractor}" if extractor else title) + notes, [*SCORED, *columns], rows)


def protocol_names(records: list[dict]) -> list[str]:
    """The name of the protocol of each record; of those of one name, with what they differ in: "quick
    (generated 100)"."""
    protocols = [record["protocol"] for record in records]
    return [named_apart(each, [other for other in protocols if other["name"] == each["name"]]) for each in protocols]


def named_apart(protocol: dict, alike: list[dict]) -> str:
    """The name of a protocol, with its values of the settings in which protocols of that name
    differ."""
    keys = list(dict.fromkeys(key for each in alike for key in each))
    differing = [key for key in keys if any(each.get(key) != alike[0].get(key) for each in alike)]
    values = ", ".join(f"{key} {written(protocol.get(key))}" for key in differing)
    return f"{protocol['name']} ({values})" if values else protocol["name"]
