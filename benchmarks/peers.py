"""The loaders that ours is compared with: each writes samples its own way, and gives epochs of batches.

A peer that is not installed is left out of the comparison; `pip install datasets litdata webdataset` brings three.
MosaicML Streaming 0.13 asks for numpy < 2.2, transformers < 5 and torchvision, which do not resolve beside what
Speciate stands on, though it runs with our numpy. So it gets an environment of its own, to be measured in beside ours:

    python -m venv mosaic && mosaic/bin/pip install -e . torchvision pillow 'transformers<5' boto3 Brotli python-snappy
    mosaic/bin/pip install xxhash zstd paramiko catalogue && mosaic/bin/pip install --no-deps mosaicml-streaming
    mosaic/bin/python benchmarks/loading.py --only 'Speciate,MosaicML Streaming' --dry
"""

from __future__ import annotations

import numpy as np

__all__ = ["Files", "HuggingFace", "LanceStream", "LitData", "Mosaic", "WebDataset", "order"]


def order(count, epoch):
    return np.random.default_rng([7, epoch]).permutation(count)


class Files:
    """One file a sample, and torch's DataLoader."""

    needs = ("torch",)

    def write(self, folder, kind, made):
        for at, sample in enumerate(made):
            (folder / f"{at:08d}").write_bytes(sample if kind == "blob" else sample.encode())

    def load(self, folder, kind, size):
        from torch.utils.data import DataLoader, Dataset

        class Folder(Dataset):
            paths = sorted(map(str, folder.iterdir()))

            def __len__(self):
                return len(self.paths)

            def __getitem__(self, at):
                with open(self.paths[at], "rb") as file:  # noqa: PTH123  (as fast as it goes)
                    return file.read() if kind == "blob" else file.read().decode()

        loader = DataLoader(Folder(), batch_size=size, shuffle=True, collate_fn=list)
        return lambda number: iter(loader)


class HuggingFace:
    needs = ("datasets",)

    def write(self, folder, kind, made):
        import datasets

        datasets.Dataset.from_dict({"what": list(made)}).save_to_disk(str(folder / "d"))

    def load(self, folder, kind, size):
        import datasets

        there = datasets.load_from_disk(str(folder / "d")).with_format("arrow")

        def epoch(number):
            at = order(len(there), number)
            for start in range(0, len(at), size):
                yield there[at[start : start + size].tolist()]["what"].to_pylist()

        return epoch


def _identity(sample):
    return sample


class LitData:
    needs = ("litdata",)

    def write(self, folder, kind, made):
        import litdata

        options = {"num_workers": 1, "chunk_bytes": "64MB", "start_method": "fork"}
        litdata.optimize(_identity, list(made), str(folder / "d"), **options)

    def load(self, folder, kind, size):
        import litdata

        there = litdata.StreamingDataset(str(folder / "d"), shuffle=True)
        loader = litdata.StreamingDataLoader(there, batch_size=size, collate_fn=list)
        return lambda number: iter(loader)


class WebDataset:
    needs = ("webdataset",)

    def write(self, folder, kind, made):
        import webdataset

        with webdataset.ShardWriter(str(folder / "d-%05d.tar"), maxsize=64 << 20, verbose=0) as out:
            for at, sample in enumerate(made):
                out.write({"__key__": f"{at:08d}", "what": sample if kind == "blob" else sample.encode()})

    def load(self, folder, kind, size):
        import webdataset

        shards = sorted(map(str, folder.glob("*.tar")))
        there = webdataset.WebDataset(shards, shardshuffle=100, empty_check=False).shuffle(1000)

        def epoch(number):
            batch = []
            for sample in there:
                batch.append(sample["what"] if kind == "blob" else sample["what"].decode())
                if len(batch) == size:
                    yield batch
                    batch = []
            yield batch

        return epoch


class Mosaic:
    needs = ("streaming",)

    def write(self, folder, kind, made):
        from streaming import MDSWriter

        with MDSWriter(out=str(folder / "d"), columns={"what": "bytes" if kind == "blob" else "str"}) as out:
            for sample in made:
                out.write({"what": sample})

    def load(self, folder, kind, size):
        from streaming import StreamingDataset
        from torch.utils.data import DataLoader

        there = StreamingDataset(local=str(folder / "d"), shuffle=True, batch_size=size)
        loader = DataLoader(there, batch_size=size, collate_fn=lambda batch: [sample["what"] for sample in batch])
        return lambda number: iter(loader)


class LanceStream:
    """LanceDB's own, on a binary column (blob columns arrive as descriptors)."""

    needs = ("lancedb.streaming",)

    def write(self, folder, kind, made):
        import lancedb  # noqa: TID251
        import pyarrow as pa

        schema = pa.schema([pa.field("what", pa.large_binary() if kind == "blob" else pa.string())])
        lancedb.connect(str(folder)).create_table("d", pa.table([list(made)], schema=schema))

    def load(self, folder, kind, size):
        import lancedb  # noqa: TID251
        from lancedb.streaming import StreamingDataset  # noqa: TID251
        from torch.utils.data import DataLoader

        table = lancedb.connect(str(folder)).open_table("d")

        def epoch(number):
            there = StreamingDataset(table, shuffle_seed=7, epoch=number, columns=["what"])
            for batch in DataLoader(there, batch_size=size, collate_fn=list):
                yield [sample["what"] for sample in batch]

        return epoch
