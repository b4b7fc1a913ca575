"""The DataModule: a training that is killed goes on with the rows that remain."""

from types import SimpleNamespace

import pyarrow as pa
import pytest
import torch

from speciate_datasets.loader import RowLoader
from speciate_datasets.store import KEY, Store
from speciate_trainers.data import RowData
from speciate_trainers.lightning import pl


class Seen(pl.LightningModule):
    """Learns nothing much; remembers the rows."""

    def __init__(self, stop=None):
        super().__init__()
        self.weight, self.seen, self.stop = torch.nn.Parameter(torch.zeros(1)), [], stop

    def training_step(self, batch, step):
        if len(self.seen) == self.stop:
            raise KeyError("killed")
        self.seen.append([row["text"] for row in batch])
        return self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def fit(tmp_path):
    store = Store(tmp_path)
    text = [f"text {i}" for i in range(100)]
    fields = [KEY, pa.field("split", pa.string()), pa.field("text", pa.string())]
    store.append("dataset.news", pa.table([text, ["train"] * 90 + ["dev"] * 10, text], schema=pa.schema(fields)))
    dataset = SimpleNamespace(store=store, name="news", version=store.version("dataset.news"))

    def fit(model, checkpoint=None, **options):
        def rows(split):
            return lambda: RowLoader(dataset, split, 8, columns=["text"], decode=dict, **options)

        saver = pl.callbacks.ModelCheckpoint(tmp_path / "saved", every_n_train_steps=3, save_top_k=-1)
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
        trainer = pl.Trainer(max_epochs=2, accelerator="cpu", callbacks=[saver], **quiet)
        trainer.fit(model, RowData(rows("train")), ckpt_path=checkpoint, weights_only=True)
        return model.seen

    return fit


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_killed_training_goes_on_where_its_checkpoint_says(fit, tmp_path, prefetch):
    whole = fit(Seen(), prefetch=prefetch)
    epoch = len(whole) // 2
    first, second = (sorted(text for batch in part for text in batch) for part in (whole[:epoch], whole[epoch:]))
    assert first == second
    assert whole[:epoch] != whole[epoch:]
    for path in (tmp_path / "saved").glob("*"):
        path.unlink()
    killed = Seen(stop=epoch + 5)
    with pytest.raises(KeyError):
        fit(killed, prefetch=prefetch)
    last = max((tmp_path / "saved").glob("*"), key=lambda path: int(path.stem.split("step=")[1]))
    taken = int(last.stem.split("step=")[1])
    assert epoch < taken <= epoch + 5
    assert fit(Seen(), last, prefetch=prefetch) == whole[taken:]
