// Checks a Shortbread token with a stock Biscuit library, @biscuit-auth/biscuit-wasm 0.6 (biscuit-auth 6.0.0, Datalog 3.3).
// Run it with node --experimental-wasm-modules.
//
// For interoperability only: production uses the crate `shortbread-verifier`. What is left out here, and what no stock
// library does, stands in ../token.md under "Stock libraries".

import { createHash } from "node:crypto";
import { Biscuit, PublicKey, SignatureAlgorithm, authorizer, fact } from "@biscuit-auth/biscuit-wasm";

/** The call must not be made. */
export class Refused extends Error {}

const policies = (root) => authorizer`
check if id("key", ${root.root_key_name}), id("issuer", ${root.root_issuer});
deny if id($kind, $value), revoked($kind, $value, $before), issued($at), $at < $before;
deny if operation($tool, $verb), right($tool, $verb, $access), revoked("access", $access, $before), issued($at), $at < $before;
deny if operation($tool, $verb), right($tool, $verb, $access), revoked("access", $scope, $before), $scope === $tool + "/" + $access, issued($at), $at < $before;
deny if issued($at), latest($l), $at > $l;
allow if operation($tool, $verb), right($tool, $verb, $access);
`;

/**
 * Returns where the call is allowed and throws everywhere else: whatever is thrown is a refusal.
 *
 * `root` and `call` have the form of ../vectors/sb1.json. `revokedBlocks` are the ids of revoked blocks in hex, 16 bytes
 * each. `profileChecked` says that the whole profile check passed; without it a token to which a block was added is refused.
 */
export function check(token, root, call, { revokedBlocks = [], profileChecked = false } = {}) {
  const hex = root.root_public_key.replace(/^ed25519\//, "");
  const biscuit = Biscuit.fromBase64(token, PublicKey.fromString(hex, SignatureAlgorithm.Ed25519));
  if (biscuit.countBlocks() !== 1 && !profileChecked) {
    throw new Refused("a block was added: a holder's Datalog is not run");
  }
  const id = (signature) => createHash("sha256").update(signature, "hex").digest("hex").slice(0, 32);
  if (biscuit.getRevocationIdentifiers().some((signature) => revokedBlocks.includes(id(signature)))) {
    throw new Refused("a block is revoked");
  }
  const builder = policies(root);
  for (const one of facts(call)) builder.addFact(one);
  // The default limit of 1 ms refuses good tokens on a busy machine.
  builder.buildAuthenticated(biscuit).authorizeWithLimits({ max_time_micro: 1_000_000 });
}

/** What is known of the call. A fact that stands for work is there only where the work was done. */
export function* facts(call) {
  const now = new Date(call.time);
  yield fact`time(${now})`;
  yield fact`latest(${new Date(now.getTime() + 30_000)})`;
  yield fact`audience(${call.audience})`;
  yield fact`operation(${call.tool}, ${call.verb})`;
  yield fact`id("tool", ${call.tool})`;
  yield fact`id("verb", ${`${call.tool}/${call.verb}`})`;
  if (call.args !== undefined) { // the whole call was read
    yield fact`args(${new Set(Object.keys(call.args))})`;
    for (const [name, value] of Object.entries(call.args)) {
      if (!name.includes("#") && hasType(value)) yield fact`arg(${name}, ${Array.isArray(value) ? new Set(value) : value})`;
    }
    // Facets such as "path#path" are computed from the arguments as ../token.md says, never taken from whoever calls;
    // where they are not computed, a token that asks for them is refused.
    for (const [name, value] of Object.entries(call.facets ?? {})) yield fact`arg(${name}, ${value})`;
  }
  if (call.holder !== undefined) yield fact`holder(${call.holder})`;
  if (call.unused !== undefined) yield fact`unused(${call.unused})`;
  if (call.revocation_age !== undefined) yield fact`revocation_age(${call.revocation_age})`;
  if (call.args_sha256 !== undefined) yield fact`args_sha256(${Uint8Array.from(Buffer.from(call.args_sha256, "hex"))})`;
  for (const { kind, value, before } of call.revoked ?? []) { // and the list's `global` moment as a revocation of the issuer
    yield fact`revoked(${kind}, ${value}, ${new Date(before)})`;
    if (kind === "access" && value.split("/").at(-1) === "write") { // write includes privileged
      yield fact`revoked(${kind}, ${value.replace(/write$/, "privileged")}, ${new Date(before)})`;
    }
  }
}

/** Whether it is a text, an integer, a boolean, or a list of one of these types. */
function hasType(value) {
  const scalar = (one) => typeof one === "string" || typeof one === "boolean" || Number.isSafeInteger(one);
  return Array.isArray(value) ? value.every((one) => scalar(one) && typeof one === typeof value[0]) : scalar(value);
}
