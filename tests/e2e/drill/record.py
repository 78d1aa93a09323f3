"""Write the golden texts anew: `python -m tests.e2e.drill.record [CASE]`, for example `full_disk`. Read what changed."""

import os
import subprocess
import sys

from tests.e2e.drill.golden_text import HERE, RECORDS

if __name__ == "__main__":
    modules = [str(HERE / f"test_{case}.py") for case in sys.argv[1:]] or [str(HERE)]
    # a process of its own, since this one has read by now that no deep tests are wanted
    environment = os.environ | {"TEST_DEEP": "1", RECORDS: "1"}
    ran = subprocess.run([sys.executable, "-m", "pytest", "-n", "0", *modules], env=environment, check=False)
    sys.exit(ran.returncode)
