// Runs the vector files through the example for biscuit-wasm: vectors.mjs FILE...
// tests/stock/run puts it beside check_token.mjs and its packages.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { Biscuit, PublicKey, SignatureAlgorithm } from "@biscuit-auth/biscuit-wasm";
import { Refused, check, facts } from "./check_token.mjs";

function allowed(...args) {
  try {
    check(...args);
    return true;
  } catch (error) {
    if (error instanceof Error && !(error instanceof Refused)) throw error; // a mistake of the example; the library throws objects
    return false;
  }
}

/** The ids of the token's blocks and the text of the first; none where its signature is not good. */
function opened(token, root) {
  const key = PublicKey.fromString(root.root_public_key.slice("ed25519/".length), SignatureAlgorithm.Ed25519);
  let biscuit;
  try {
    biscuit = Biscuit.fromBase64(token, key);
  } catch {
    return [[], ""];
  }
  const id = (signature) => createHash("sha256").update(signature, "hex").digest("hex").slice(0, 32);
  return [biscuit.getRevocationIdentifiers().map(id), biscuit.getBlockSource(0)];
}

/** What must hold of a case, by name. */
function* verdicts(root, { name, token, call, expect, profile }) {
  const [ids, source] = opened(token, root);
  const violation = profile === "violation";
  if (ids.length > 1) {
    yield ["with an added block, profile not checked", !allowed(token, root, call)];
    if (violation) return; // the profile check does not pass, so there is nothing to decide
  }
  const more = { profileChecked: ids.length > 1 };
  const passes = allowed(token, root, call, more);
  const said = { ...call, args: { ...call.args, "x#path": "/" } };
  yield ["a facet that the caller says is none", ![...facts(said)].some((one) => `${one}`.startsWith('arg("x#path"'))];
  if (violation) {
    const times = [...source.matchAll(/issued\((\S+)\)/g)].map(([, at]) => Date.parse(at));
    const ahead = times.some((at) => at > Date.parse(call.time) + 30_000);
    yield ["issued ahead of its time", !(passes && ahead)];
    if (passes) console.log(`  allowed by stock, refused by the profile check: ${name}`);
    return;
  }
  yield [`expected ${expect}`, passes === (expect === "allow")];
  if (passes) {
    const reads = source.includes(`right("${call.tool}", "${call.verb}", "read")`);
    for (const value of ["write", `${call.tool}/write`]) { // which includes privileged
      const entry = { kind: "access", value, before: "9999-12-31T23:59:59Z" };
      const stopped = { ...call, revoked: [...(call.revoked ?? []), entry] };
      yield [`access ${value} revoked`, allowed(token, root, stopped, more) === reads];
    }
    yield ["block revoked", !allowed(token, root, call, { ...more, revokedBlocks: ids.slice(-1) })];
    yield ["another key's name", !allowed(token, { ...root, root_key_name: "k0" }, call, more)];
    const other = { ...root, root_issuer: "https://other.example" };
    yield ["another issuer", !allowed(token, other, call, more)];
  }
}

let [total, failed] = [0, 0];
for (const path of process.argv.slice(2)) {
  const root = JSON.parse(readFileSync(path, "utf8"));
  for (const vector of root.vectors) {
    const wrong = [...verdicts(root, vector)].filter(([, holds]) => !holds).map(([name]) => name);
    total += 1;
    if (wrong.length > 0) {
      failed += 1;
      console.log(`  FAILED ${vector.name}: ${wrong.join(", ")}`);
    }
  }
}
console.log(`biscuit-wasm: ${total - failed} passed, ${failed} failed`);
process.exit(failed > 0 || total === 0 ? 1 : 0);
