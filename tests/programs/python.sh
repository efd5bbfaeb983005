#!/bin/sh
# A virtual environment, a package that pip installs into it, processes and shared memory.
set -eu
cat >wheel.py <<'END'
import zipfile
info = "answer-1.dist-info/"
files = {
    "answer.py": "def square(n):\n    return n * n\n",
    info + "METADATA": "Metadata-Version: 2.1\nName: answer\nVersion: 1\n",
    info + "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
files[info + "RECORD"] = "".join(name + ",,\n" for name in files)
with zipfile.ZipFile("answer-1-py3-none-any.whl", "w") as wheel:
    for name, content in files.items():
        wheel.writestr(name, content)
END
python3 wheel.py
python3 -m venv environment
environment/bin/pip install --quiet --no-index --disable-pip-version-check ./answer-1-*.whl
cat >use.py <<'END'
import answer
from multiprocessing import Array, Pool
if __name__ == "__main__":
    shared = Array("i", [1, 2, 3])
    with Pool(2) as pool:
        print(pool.map(answer.square, shared[:]))
END
environment/bin/python use.py
