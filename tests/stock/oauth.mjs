// Holds the example for openid-client to what a broker answers: oauth.mjs ISSUER KEY_FILE
// tests/stock/run puts it beside the compiled oauth_client.js and its packages.

import assert from "node:assert/strict";
import { createPrivateKey, randomUUID, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import * as oauth from "openid-client";
import { clientCredentials, connect, reason, tokenExchange } from "./oauth_client.js";

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
    const plain = new oauth.Configuration(broker.serverMetadata(), "workflow:demo", undefined, oauth.None());
    oauth.allowInsecureRequests(plain);
    const granted = await tokenExchange(plain, assertion(), { authorization_details: JSON.stringify([detail]) });
    assert.equal(granted.issued_token_type, "urn:ietf:params:oauth:token-type:access_token");
    assert.deepEqual(granted.authorization_details[0].constraints["issues.write"].repo, { eq: "acme/web" });
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
    const plain = new oauth.Configuration(broker.serverMetadata(), "workflow:demo", undefined, oauth.None());
    oauth.allowInsecureRequests(plain);
    await oauth.tokenRevocation(plain, granted.access_token);
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
