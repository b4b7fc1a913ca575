"""tune: a search for the settings with the best score on the dev rows.

speciate tune text/lora dataset=news space.method.lr=log(1e-5,1e-3) space.method.rank=[4,8,16] trials=20 budget=30m

Every trial is a Run like any other. Only dev scores steer the search: the test rows stay fresh for what it finds.
"""

from speciate.tune.asked import Asked
from speciate.tune.search import Tuning

__all__ = ["Asked", "Tuning"]
