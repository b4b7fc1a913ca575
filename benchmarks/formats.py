"""Every format beside the bare libraries, one after another: `python benchmarks/formats.py [--files N] [--dry]`.

Each `format_*.py` is a process of its own, with one thread, and replaces its section of RESULTS.md.
"""

import subprocess
import sys
from pathlib import Path


def main():
    failed = []
    for script in sorted(Path(__file__).parent.glob("format_*.py")):
        print(f"\n# {script.stem}\n", flush=True)
        if subprocess.run([sys.executable, str(script), *sys.argv[1:]], check=False).returncode:
            failed.append(script.name)
    raise SystemExit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
