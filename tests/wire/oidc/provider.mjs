// The certified provider of panva/node-oidc-provider, configured for one person: rotating refresh tokens, JWT access
// tokens (RFC 9068) and back-channel logout. It prints its address on standard output once it listens.
//
// SITE: the gateway's address; CLIENT, SECRET: the gateway's client here; LIFE: seconds an access token lives; ISSUER: its
// name where that is not its address, because it is behind a proxy that sends X-Forwarded-Proto and -Host.
// KEY: the client's public key as a JWK set in place of SECRET; then it must push its requests, ID tokens are PS256 and
// hold only the claims that the specification puts there, and the access token is for UserInfo.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const { SITE, CLIENT, SECRET, LIFE, KEY } = process.env;
const strict = KEY !== undefined;
// Roles by person; all others are customers.
const ROLES = { grace: ["clerk"] };

function key(kind, options, members) {
  const { privateKey } = generateKeyPairSync(kind, options);
  return { ...privateKey.export({ format: "jwk" }), use: "sig", ...members };
}

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const address = `http://127.0.0.1:${server.address().port}`;
  const issuer = process.env.ISSUER ?? address;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT,
        ...(strict
          ? {
              token_endpoint_auth_method: "private_key_jwt",
              jwks: JSON.parse(KEY),
              require_pushed_authorization_requests: true,
            }
          : { client_secret: SECRET }),
        redirect_uris: [`${SITE}/bff/callback`],
        post_logout_redirect_uris: [`${SITE}/`],
        backchannel_logout_uri: `${SITE}/bff/backchannel-logout`,
        backchannel_logout_session_required: true,
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        id_token_signed_response_alg: strict ? "PS256" : "ES256",
      },
    ],
    jwks: {
      keys: [
        key("ec", { namedCurve: "P-256" }, { kid: "ec", alg: "ES256" }),
        key("rsa", { modulusLength: 2048 }, { kid: "rsa", alg: strict ? "PS256" : "RS256" }),
      ],
    },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, name: `Person ${sub}`, roles: ROLES[sub] ?? ["customer"] }) }),
    claims: { openid: ["sub", "sid"], profile: ["name", "roles"] },
    conformIdTokenClaims: strict,
    enabledJWA: { idTokenSigningAlgValues: ["RS256", "PS256", "ES256"] },
    scopes: ["openid", "offline_access", "shop"],
    rotateRefreshToken: true,
    ttl: { AccessToken: Number(LIFE), IdToken: 300, Session: 3600, Grant: 3600, Interaction: 300 },
    // Its own HTTP client refuses addresses on this machine, where the gateway of a test is.
    fetch: (url, { dispatcher: _, ...options }) => fetch(url, options),
    cookies: { keys: ["not a secret"] },
    features: {
      backchannelLogout: { enabled: true },
      revocation: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
      resourceIndicators: {
        enabled: !strict,
        defaultResource: () => "https://shop.test/",
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: "shop",
          audience: "shop",
          accessTokenFormat: "jwt",
          accessTokenTTL: Number(LIFE),
          jwt: { sign: { alg: "ES256" } },
        }),
      },
    },
  });
  provider.on("refresh_token.destroyed", () => console.log("revoked a refresh token"));
  provider.on("grant.revoked", () => console.log("revoked a grant"));
  provider.on("pushed_authorization_request.success", () => console.log("pushed"));
  provider.on("server_error", (_, error) => console.error(error));
  provider.on("backchannel.error", (_, error) => console.error("back-channel logout:", error));
  server.on("request", provider.callback());
  provider.proxy = issuer !== address;
  console.log(address);
});
