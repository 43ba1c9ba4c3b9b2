// An OpenID Connect issuer of other people's making, on loopback: node issuer.js PORT. It signs tokens for whatever
// resource a client names, and lets anybody in under the name that is typed. It ends with its standard input.
import Provider from "oidc-provider";

const port = Number(process.argv[2]);
const scopes = "luma:read luma:spend luma:delete";
const emailOf = (name) => `${name}@example.com`;

const provider = new Provider(`http://127.0.0.1:${port}`, {
  scopes: ["openid", "offline_access", ...scopes.split(" ")],
  clientBasedCORS: () => true,
  pkce: { required: () => true },
  claims: { openid: ["sub"], email: ["email", "email_verified"] },
  ttl: { AccessToken: () => Number(process.env.TOKEN_SECONDS ?? 300), Grant: 3600, Session: 3600, Interaction: 600 },
  features: {
    devInteractions: { enabled: true },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_ctx, resource) => ({
        scope: scopes,
        audience: resource,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
  extraTokenClaims: (_ctx, token) => ({ email: emailOf(token.accountId), email_verified: true }),
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, email: emailOf(id), email_verified: true }) }),
});

provider.listen(port, "127.0.0.1", () => console.log("listening"));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
