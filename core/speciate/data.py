"""The verbs over data: what a Workspace can do with its datasets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speciate import preview, sources
from speciate.catalog import Catalog, options_of
from speciate.contracts import Added, Dataset, Engine, Format, Rows
from speciate.ledger import Ledger
from speciate.progress import StageClock

__all__ = ["DataVerbs"]


class DataVerbs:
    """The half of the Workspace that looks after rows; a dataset is named NAME, NAME@VERSION or NAME@TAG."""

    catalog: Catalog
    ledger: Ledger
    quiet: bool

    @property
    def engine(self) -> Engine:
        raise NotImplementedError  # the Workspace opens it

    def add(
        self,
        name: str,
        *paths: str | Path,
        format: str = "",
        options: Mapping[str, Any] | None = None,
        target: str = "",
        group: str = "",
        split: str = "",
        labels: str | Path = "",
        reference: bool = False,
        jobs: int = 0,
    ) -> Added:
        """Files into a dataset, which is made if need be. Adding the same files twice changes nothing.

        `labels` is a CSV, JSONL or Parquet file that is joined by path, file name or hash, or "folders";
        `reference` leaves large content where it is; `jobs` is how many processes read.
        """
        files, strangers = sources.collect(paths)
        files = [path for path in files if not labels or path.absolute() != Path(labels).absolute()]
        chosen, files, strangers = sources.recognise(self.catalog, files, strangers, format)
        values = dict(options or {})
        known = self.ledger.latest("datasets", "name").get(name)
        if known is not None:
            sources.check_same(known, chosen, values)
            values = values or known["options"]
        reader = self.catalog.use(chosen, "reader")(options_of(chosen, values))
        clock = StageClock(self.quiet)
        with clock.stage("add"):
            added = self.engine.add(
                name,
                files,
                chosen,
                reader,
                options=values,
                target=target,
                group=group,
                split=split,
                progress=clock,
                labels=str(labels),
                reference=reference,
                jobs=jobs,
            )
        return dataclasses.replace(added, quarantined=added.quarantined + strangers, seconds=clock.seconds)

    def log(self, name: str) -> Rows:
        """The versions of a dataset, oldest first: when, who, why, how many rows, and their tags."""
        return self.engine.log(_at(name)[0])

    def diff(self, name: str, a: int | str, b: int | str = "") -> dict[str, Any]:
        """What differs between two versions (numbers or tags), by default up to the newest."""
        return dict(self.engine.diff(name, a, b))

    def tag(self, name: str, tag: str) -> dict[str, Any]:
        """Name a version for good: `tag("news@7", "gold")`, or the newest one without a number."""
        dataset, _, at = name.partition("@")
        version = self.engine.resolve(dataset, at)
        self.engine.tag(dataset, version, tag)
        return {"dataset": dataset, "version": version, "tag": tag}

    def gc(self, name: str = "", older_than_days: float = 7.0) -> dict[str, Any]:
        """Compact tables and clean versions older than this; tagged ones and the newest stay."""
        return dict(self.engine.gc(name, older_than_days))

    def fsck(self, name: str = "") -> dict[str, Any]:
        """Compare all that is stored with its checksums; `name` may be NAME@VERSION."""
        dataset, _, at = name.partition("@")
        return dict(self.engine.fsck(dataset, at or None))

    def dataset(self, name: str) -> Any:
        """A lazy Dataset to filter, search, relabel and export: `ws.dataset("scans@gold").filter("age > 60")`."""
        return self.engine.curate(*_at(name), catalog=self.catalog)

    def audit(self, name: str) -> dict[str, Any]:
        """Leakage between splits, balance, missing and doubtful labels, outliers; with what to do about each."""
        format = self.catalog.get(Format, self._stored(name).format)
        return dict(self.engine.audit(*_at(name), near=format.near))

    def preview(self, name: str, n: int = 12) -> str:
        """A page of HTML with n rows as a person looks at them, from all labels."""
        dataset = self._stored(name)
        format = self.catalog.get(Format, dataset.format)
        reader = self.catalog.use(format, "reader")(options_of(format, dataset.options))
        rows = dataset.filled(preview.pick(dataset.rows(content=False), n))
        return preview.page(f"{dataset.name}@{dataset.version}", format, reader, rows)

    def import_folder(self, folder: str | Path, name: str = "") -> dict[str, Any]:
        """Take in a dataset that `dataset(...).export(folder)` wrote: same ids, splits and content."""
        return dict(self.engine.import_folder(folder, name))

    def _stored(self, name: str) -> Dataset:
        dataset, at = _at(name)
        return self.engine.dataset(dataset, at or None)


def _at(name: str) -> tuple[str, str]:
    dataset, _, at = name.partition("@")
    return dataset, at
