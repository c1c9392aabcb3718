"""Runs commands beside a broker of their own: with_broker.py PROGRAM -- COMMAND... [-- COMMAND...]

Each command gets two more arguments, the broker's issuer and the file of the demo workflow's key.
"""

import json
import os
import subprocess
import sys
import tempfile


def split(args):
    parts = [[]]
    for arg in args:
        parts.append([]) if arg == "--" else parts[-1].append(arg)
    return parts


def main(args):
    program, *commands = split(args)
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "HOME": home, "XDG_CONFIG_HOME": home}  # `dev` writes a client's settings there
        env.pop("SHORTBREAD_CONFIG", None)
        dev = [*program, "dev", "--json", "--listen", "127.0.0.1:0", "--data", f"{home}/broker"]
        with open(f"{home}/log", "w+") as log:
            broker = subprocess.Popen(dev, env=env, stdout=subprocess.PIPE, stderr=log, text=True)
            try:
                told = broker.stdout.readline()
                if not told:
                    log.seek(0)
                    sys.exit(f"the broker did not start: {log.read()}")
                about = json.loads(told)
                ends = [subprocess.run([*one, about["issuer"], about["workflow_key"]]).returncode for one in commands]
            finally:
                broker.terminate()
                broker.wait(timeout=20)
    return max(ends)


sys.exit(main(sys.argv[1:]))
