"""`./dev pds`: the PLC directory and the PDS in the foreground."""

import argparse
import signal
import sys
from pathlib import Path

from devpds.server import DevPds, DevPlc

READY = """
  PDS   {pds}
  PLC   {plc}
  data  {data}  (kept; delete it to start afresh)

An account:
  curl -s {pds}/xrpc/com.atproto.server.createAccount -H 'content-type: application/json' \\
    -d '{{"handle":"ann.test","email":"ann@example.test","password":"let me in"}}'

mastertape beside it:
  MASTERTAPE_PLC_URL={plc} MASTERTAPE_DEV_ORIGINS={pds} .venv/bin/mastertape serve

Ctrl-C stops both.
"""


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="./dev pds", description=__doc__)
    parser.add_argument("--port", type=int, default=2583, help="of the PDS (2583)")
    parser.add_argument("--plc-port", type=int, default=2582, help="of the PLC directory (2582)")
    parser.add_argument("--data", type=Path, default=Path("data/devpds"), help="folder (data/devpds)")
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell makes its background processes ignore SIGINT
        signal.signal(number, signal.default_int_handler)
    try:
        with (
            DevPlc(args.data / "plc", port=args.plc_port) as plc,
            DevPds(plc, args.data / "pds", port=args.port) as pds,
        ):
            print(READY.format(pds=pds.url, plc=plc.url, data=args.data), flush=True)
            signal.pause()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
