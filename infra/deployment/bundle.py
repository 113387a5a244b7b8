"""What a node's secret has in it. As a program: `bundle.py DIRECTORY`, as certificates.sh has filled it."""

import json
import sys
from pathlib import Path

_FILES = {"authority": "ca.crt", "certificate": "tls.crt", "key": "tls.key"}


def bundle(directory: Path) -> str:
    """A node's certificate, its key, and the authority that it trusts."""
    return json.dumps({name: (directory / file).read_text() for name, file in _FILES.items()})


if __name__ == "__main__":
    print(bundle(Path(sys.argv[1])))
