// Holds the example for openid-client to what a broker answers: oauth.mjs ISSUER KEY_FILE
// tests/stock/run puts it beside the compiled oauth_client.js and its packages.

import assert from "node:assert/strict";
import { KeyObject, createHash, createPrivateKey, randomUUID, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import * as oauth from "openid-client";
import { check } from "./check_token.mjs";
import { clientCredentials, connect, newKey, reason, tokenExchange } from "./oauth_client.js";

const GITHUB = "http://127.0.0.1:8801"; // the audience that the example policy of `dev` gives the tool
const [issuer, keyFile] = process.argv.slice(2);
const broker = await connect(issuer, "demo", keyFile);

async function refused(asking, code, why) {
  const error = await asking.then(() => assert.fail("granted"), (error) => error);
  assert.deepEqual([error.error, await reason(error)], [code, why], error);
}

/** Stands for the JWT of a workload's platform: the example policy trusts registered keys alone. */
function assertion() {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: "workflow:demo", sub: "workflow:demo", aud: issuer, iat: now, exp: now + 60, jti: randomUUID() };
  const signed = `${part({ alg: "EdDSA", typ: "JWT" })}.${part(claims)}`;
  const signature = sign(null, Buffer.from(signed), createPrivateKey(readFileSync(keyFile)));
  return `${signed}.${signature.toString("base64url")}`;
}

/** A client without a key of its own: what it sends is the proof. */
function asWorkload() {
  const plain = new oauth.Configuration(broker.serverMetadata(), "workflow:demo", undefined, oauth.None());
  oauth.allowInsecureRequests(plain);
  return plain;
}

/** The broker's token key, as the vector files give one. */
async function tokenKey() {
  const read = async (uri) => (await fetch(uri)).json();
  const { jwks_uri, shortbread } = broker.serverMetadata();
  const key = (await read(jwks_uri)).keys.find((one) => one.shortbread_purpose === "token");
  const [listed] = await read(shortbread.biscuit_web_keys_uri);
  return { root_public_key: `ed25519/${listed.key_bytes}`, root_key_name: key.kid, root_issuer: listed.issuer };
}

const cases = {
  async "discovery finds the broker's endpoints"() {
    const found = broker.serverMetadata();
    assert.equal(found.issuer, issuer);
    assert.ok(found.grant_types_supported.includes("client_credentials"));
    const elsewhere = issuer.replace("127.0.0.1", "localhost");
    await assert.rejects(oauth.discovery(new URL(elsewhere), "workflow:demo", undefined, oauth.None(), {
      algorithm: "oauth2",
      execute: [oauth.allowInsecureRequests],
    }), "an issuer under another name is not taken");
  },
  async "client_credentials give a token"() {
    const granted = await clientCredentials(broker, { scope: "github:issues.read", resource: GITHUB, intent: "triage" });
    assert.equal(granted.token_type, "bearer");
    assert.equal(granted.scope, "github:issues.read");
    assert.equal(granted.shortbread.profile, "sb1");
    assert.ok(granted.access_token.length > 100 && granted.expires_in > 0 && granted.expires_in <= 600);
  },
  async "token exchange takes authorization_details"() {
    const detail = { type: "shortbread_tool_call", tool: "github", actions: ["issues.write"], ttl: 60,
      constraints: { "issues.write": { repo: { eq: "acme/web" } } } };
    const granted = await tokenExchange(asWorkload(), assertion(), { authorization_details: JSON.stringify([detail]) });
    assert.equal(granted.issued_token_type, "urn:ietf:params:oauth:token-type:access_token");
    assert.deepEqual(granted.authorization_details[0].constraints["issues.write"].repo, { eq: "acme/web" });
  },
  async "a token is bound to the key of a proof"() {
    const key = await newKey();
    const granted = await clientCredentials(broker, { scope: "github:issues.read" }, key);
    assert.equal(granted.token_type, "dpop");
    const { crv, kty, x } = KeyObject.from(key.publicKey).export({ format: "jwk" });
    const holder = createHash("sha256").update(JSON.stringify({ crv, kty, x })).digest("base64url"); // RFC 7638
    const call = { time: new Date().toISOString(), audience: GITHUB, tool: "github", verb: "issues.read", revocation_age: 5 };
    const root = await tokenKey();
    check(granted.access_token, root, { ...call, holder });
    assert.throws(() => check(granted.access_token, root, call), "without a proof of the key");
    const exchanged = await tokenExchange(asWorkload(), assertion(), { scope: "github:issues.read" }, key);
    assert.equal(exchanged.token_type, "dpop");
    check(exchanged.access_token, root, { ...call, holder });
  },
  async "what is not granted is refused with a reason"() {
    const ask = (asked) => clientCredentials(broker, asked);
    await refused(ask({ scope: "github:repo.delete" }), "access_denied", "policy.not_granted");
    await refused(ask({ scope: "github:no.such" }), "invalid_scope", "scope.unknown");
    const nowhere = { scope: "github:issues.read", resource: "http://127.0.0.1:1" };
    await refused(ask(nowhere), "invalid_target", "target.unknown");
  },
  async "a stranger is refused with a challenge"() {
    const stranger = await connect(issuer, "stranger", keyFile);
    const asking = clientCredentials(stranger, { scope: "github:issues.read" });
    await refused(asking, undefined, "identity.invalid"); // the library reads the challenge and leaves the body
  },
  async "a token is given back"() {
    const granted = await clientCredentials(broker, { scope: "github:issues.read" });
    await oauth.tokenRevocation(asWorkload(), granted.access_token);
  },
};

let failed = 0;
for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
  } catch (error) {
    failed += 1;
    console.log(`  FAILED ${name}:`, error);
  }
}
console.log(`openid-client: ${Object.keys(cases).length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
