"""Datasets: rows in LanceDB; ingest, splits, versions and the feature cache."""

from __future__ import annotations

from collections.abc import Iterable

from speciate import Store, hookimpl


@hookimpl
def speciate_stores() -> Iterable[Store]:
    return [Store("lance", "one LanceDB database in the workspace", engine="speciate_datasets.engine:LanceEngine")]
