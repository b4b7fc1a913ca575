"""What is left out while Lightning is imported is there for whoever asks."""

import subprocess
import sys

CODE = """
import sys
from speciate_trainers.lightning import pl
left_out = {"transformers", "scipy.signal"}
assert not left_out & set(sys.modules), left_out & set(sys.modules)
from torchmetrics.functional.text import bert
from_pretrained = bert.AutoTokenizer.from_pretrained
import transformers, scipy.signal
assert from_pretrained == transformers.AutoTokenizer.from_pretrained
assert scipy.signal.__file__ and transformers.__file__
assert pl.Trainer and pl.LightningModule
"""


def test_it_brings_no_transformers_and_hides_none():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
