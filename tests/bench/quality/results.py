"""A side's numbers in one JSON file that several processes may fill."""

import fcntl
import json
import os
from pathlib import Path


class Results:
    """{"made_with": {...}, "base": {test: measures}, "runs": {setting: {seed: {"fingerprint", "measures", ...}}}}"""

    def __init__(self, path):
        self.path = Path(path)

    def load(self):
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def put(self, *keys, value):
        """Sets one value, beside what other processes have put there."""
        lock = os.open(self.path.resolve().parent, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            everything = self.load()
            place = everything
            for key in keys[:-1]:
                place = place.setdefault(key, {})
            place[keys[-1]] = value
            staging = Path(f"{self.path}.new")
            staging.write_text(json.dumps(everything, indent=1, sort_keys=True) + "\n")
            os.replace(staging, self.path)
        finally:
            os.close(lock)

    def run(self, setting, seed):
        return self.load().get("runs", {}).get(setting.name, {}).get(str(seed))
