//! What a caller shows: today a bearer access token (RFC 6750, RFC 9068).
use crate::trust::IssuerIndex;

/// One piece of evidence, and whose word is accepted for it.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    pub(crate) token: &'a [u8],
    pub(crate) accepted: Option<&'a [IssuerIndex]>,
    pub(crate) proven: bool,
}

impl<'a> Evidence<'a> {
    /// A compact JWS that is shown as an access token. The bytes are looked at only by [`crate::verify`].
    pub fn access_token(token: &'a [u8]) -> Self {
        Self { token, accepted: None, proven: false }
    }

    /// Takes a token that is bound to a key or a certificate (`cnf`, RFC 7800) too. The caller then has to see to the proof
    /// of [`Verified::confirmation`](crate::Verified::confirmation), each time that the token is used; by default such a
    /// token is [`TokenBound`](crate::Code::TokenBound).
    #[must_use]
    pub fn holder_proves(self) -> Self {
        Self { proven: true, ..self }
    }

    /// Accepts these issuers only. The token of another is `issuer_untrusted`, and nothing is fetched for it.
    #[must_use]
    pub fn accepted_issuers(self, set: &'a [IssuerIndex]) -> Self {
        Self { accepted: Some(set), ..self }
    }
}

impl std::fmt::Debug for Evidence<'_> {
    /// Never shows the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evidence")
            .field("bytes", &self.token.len())
            .field("accepted", &self.accepted)
            .finish_non_exhaustive()
    }
}
