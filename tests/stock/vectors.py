"""Runs the vector files through the example for biscuit-python: vectors.py FILE..."""

import hashlib
import json
import re
import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "schema" / "examples"))
from biscuit_auth import AuthorizationError, Biscuit, BiscuitValidationError, PublicKey  # noqa: E402
from check_token import Refused, check, date, facts  # noqa: E402


def allowed(*args, **more):
    try:
        check(*args, **more)
        return True
    except (Refused, BiscuitValidationError, AuthorizationError):  # anything else is a mistake of the example
        return False


def opened(token, root):
    """The ids of the token's blocks and the text of the first; none where its signature is not good."""
    try:
        biscuit = Biscuit.from_base64(token, PublicKey(root["root_public_key"]))
    except BiscuitValidationError:
        return [], ""
    ids = [hashlib.sha256(bytes.fromhex(signature)).digest()[:16] for signature in biscuit.revocation_ids]
    return ids, biscuit.block_source(0)


def verdicts(root, vector):
    """What must hold of a case, by name."""
    token, call, violation = vector["token"], vector["call"], vector["profile"] == "violation"
    ids, source = opened(token, root)
    if len(ids) > 1:
        yield "with an added block, profile not checked", not allowed(token, root, call)
        if violation:  # the profile check does not pass, so there is nothing to decide
            return
    more = {"profile_checked": len(ids) > 1}
    passes = allowed(token, root, call, **more)
    said = {**call, "args": {**(call.get("args") or {}), "x#path": "/"}}
    yield "a facet that the caller says is none", ("arg", "x#path", "/") not in facts(said)
    if violation:
        times = [date(found) for found in re.findall(r"issued\((\S+)\)", source)]
        ahead = any(at > date(call["time"]) + timedelta(seconds=30) for at in times)
        yield "issued ahead of its time", not (passes and ahead)
        if passes:
            print(f"  allowed by stock, refused by the profile check: {vector['name']}")
        return
    yield f"expected {vector['expect']}", passes == (vector["expect"] == "allow")
    if passes:
        tool, verb = call["tool"], call["verb"]
        reads = f'right("{tool}", "{verb}", "read")' in source
        for value in ("write", f"{tool}/write"):  # which includes privileged
            entry = {"kind": "access", "value": value, "before": "9999-12-31T23:59:59Z"}
            stopped = {**call, "revoked": [*call.get("revoked", []), entry]}
            yield f"access {value} revoked", allowed(token, root, stopped, **more) == reads
        yield "block revoked", not allowed(token, root, call, revoked_blocks=ids[-1:], **more)
        yield "another key's name", not allowed(token, {**root, "root_key_name": "k0"}, call, **more)
        yield "another issuer", not allowed(token, {**root, "root_issuer": "https://other.example"}, call, **more)


def main(paths):
    failed = total = 0
    for path in paths:
        root = json.loads(Path(path).read_text())
        for vector in root["vectors"]:
            wrong = [name for name, holds in verdicts(root, vector) if not holds]
            total += 1
            failed += bool(wrong)
            if wrong:
                print(f"  FAILED {vector['name']}: {', '.join(wrong)}")
    print(f"biscuit-python: {total - failed} passed, {failed} failed")
    return 1 if failed or not total else 0


sys.exit(main(sys.argv[1:]))
