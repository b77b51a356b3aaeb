//! The part of the configuration that is about signing in.

use super::tree::FromNode;
use super::{SecretConfig, Span};

/// Signing in at the issuer of the same name (OpenID Connect Core 1.0 §3.1: authorization code flow, with PKCE).
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LoginConfig {
    /// Our name at the provider. Its redirect URI is `ORIGIN/.carded/callback/NAME` for each of `origins`.
    pub client_id: String,
    /// Our secret at the provider; this or `private_key_jwt`.
    pub client_secret: Option<SecretConfig>,
    /// Our private key as a JWK, Ed25519 or P-256, of which the provider has the public part: with it we sign who we are
    /// (`private_key_jwt`, §9), and there is no secret that we share.
    pub private_key_jwt: Option<SecretConfig>,
    /// What the provider is asked for, `openid` among it.
    #[serde(default = "openid")]
    pub scopes: Vec<String>,
    /// How the secret is sent; by default as the provider's metadata says, `client_secret_basic` first.
    pub auth_method: Option<AuthMethod>,
    /// `prompt` of each request (§3.1.2.1), such as `select_account`.
    pub prompt: Option<String>,
    /// The contexts of authentication of which one is asked for (`acr_values`, §3.1.2.1); the ID token must name one of them.
    #[serde(default)]
    pub acr_values: Vec<String>,
    /// How long ago the person may have signed in at the provider when they come back (`max_age`, §3.1.2.1).
    pub max_age: Option<Span>,
    /// The path of ours to which the provider sends people who signed out (`post_logout_redirect_uri`, RP-Initiated Logout 1.0
    /// §2); it has to be registered there with our origin. Without it they stay at the provider.
    pub post_logout_path: Option<String>,
    /// Whether claims that the ID token lacks come from the provider's UserInfo endpoint (§5.3), as JSON, when somebody signs in and
    /// with each refresh that brings an ID token.
    #[serde(default)]
    pub userinfo: bool,
    /// Whether the provider is asked again, by its refresh token, before its tokens end (§12); a login that it does not
    /// confirm ends with them. Whether it gives a refresh token is its choice: most want the scope `offline_access`. The
    /// session's `lifetime` stays what it is.
    #[serde(default)]
    pub refresh: bool,
    /// Whether a browser is signed in without a question where a rule's login is `optional` and the provider knows the person
    /// (`prompt=none`, §3.1.2.1): tried once in `sessions.lifetime`, and not after a logout, with browsers that keep cookies.
    #[serde(default)]
    pub silent: bool,
    /// What people read where they can choose between providers; by default the name.
    pub title: Option<String>,
}

/// How a client's secret is sent to the token endpoint (OpenID Connect Core 1.0 §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// In `Authorization: Basic`.
    ClientSecretBasic,
    /// In the form.
    ClientSecretPost,
}

fn openid() -> Vec<String> {
    vec!["openid".to_owned()]
}
